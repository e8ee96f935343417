"""Whatever a log holds, the rules answer: no crash, bounded evidence, valid JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.model.codec import encode
from djed.model.observation import FAILURE_CLASSES, Failure, Stage
from djed.model.result import Result, Stream
from djed.observe.log import HEAD, TAIL, clean, lines, window
from djed.observe.outcome import classify
from djed.observe.report import report

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.txt"))
PIECES = [piece for path in RECORDED for piece in path.read_bytes().split()] + [
    b"\x1b[",
    b"\x1b]",
    b"\r",
    b"\0",
    b"\xff",
]

logs = st.one_of(
    st.binary(max_size=400),
    st.lists(st.sampled_from(PIECES), max_size=60).map(b" ".join),
    st.lists(st.sampled_from(PIECES), max_size=60).map(b"\n".join),
    st.builds(lambda path, at: path.read_bytes()[at:], st.sampled_from(RECORDED), st.integers(0, 2000)),
)
results = st.builds(
    Result,
    exit_code=st.none() | st.integers(1, 255),
    signal=st.none() | st.integers(1, 64),
    error=st.none() | st.text(max_size=40),
    timed_out=st.booleans(),
    out_of_memory=st.booleans(),
    disk_exceeded=st.booleans(),
)


def _sound(failure: Failure | None) -> None:
    assert failure is not None
    assert failure.kind in FAILURE_CLASSES
    assert failure.message.endswith(".")
    assert "\n" not in failure.message
    assert 1 <= len(failure.evidence) <= 10
    assert all(0 < len(line) <= 500 for line in failure.evidence)
    json.dumps(encode(failure), allow_nan=False).encode("utf-8")


@given(stage=st.sampled_from(get_args(Stage)), result=results, stdout=logs, stderr=logs)
def test_any_log_and_result_get_a_sound_failure(
    stage: Stage, result: Result, stdout: bytes, stderr: bytes
) -> None:
    failing = (
        Result(exit_code=1)
        if result.exit_code is None and result.signal is None and result.error is None
        else result
    )
    _sound(classify(stage=stage, result=failing, stdout=stdout, stderr=stderr, context={}))


@given(stdout=logs, stderr=logs)
def test_any_output_gives_a_report_that_json_can_carry(stdout: bytes, stderr: bytes) -> None:
    found = report(
        Result(), stdout=stdout, stderr=stderr, script_sha256=None, python_version=None, failure=None
    )
    assert "\\u0000" not in json.dumps(found, allow_nan=False)
    json.dumps(found, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    "piece",
    [
        b"a=b,",
        b"a.",
        b"\x1b[0;",
        b"\x1b]0;",
        b"hint: wheels ",
        b"gcc-",
        b"lib.so",
        b"://a:",
        b"An index URL (http://",
        b"A==1 depends on ",
    ],
)
def test_a_huge_log_of_one_piece_is_answered(piece: bytes) -> None:
    body = (piece * (7000 // len(piece)) + b"\n") * 30
    log = b"error: No solution found when resolving dependencies\n" + body
    _sound(classify(stage="lock", result=Result(exit_code=1), stdout=b"", stderr=log, context={}))


def test_the_middle_of_a_huge_log_is_left_out_and_said_so() -> None:
    seen = window(b"a" * HEAD + b"b" * 1000 + b"c" * TAIL)
    assert b"b" not in seen.replace(b"bytes", b"")
    assert b"1000 bytes left out" in seen


def test_a_progress_bar_shows_what_a_person_saw_last() -> None:
    assert lines(b"10%\r50%\rdone\r\nnext") == ("done", "next")


def test_terminal_codes_and_direction_marks_are_taken_out() -> None:
    assert clean("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\u202ey\x00z") == "red xyz"


def test_a_cut_stream_is_never_read_as_json() -> None:
    cut = Result(stdout=Stream(size=10, kept=2, truncated=True))
    found = report(cut, stdout=b"42", stderr=b"", script_sha256=None, python_version=None, failure=None)
    assert found["stdout"] == "42"
