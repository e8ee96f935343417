"""The result JSON: a superset of Amun's, with its keys and types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from djed.model.observation import Failure
from djed.model.result import OutputFile, Result, Stream
from djed.observe.report import TEXT, USAGE, report

HARDWARE = {
    "cpu_info": {"family": 6, "model": 85, "brand_raw": "Some CPU"},
    "os_release": {"id": "debian", "version_id": "12", "name": "Debian GNU/Linux"},
    "gpus": [{"name": "H200", "cuda": "12.8"}],
}
RESULT = Result(
    exit_code=0,
    started_at=1_600_000_000.25,
    ended_at=1_600_000_002.5,
    duration=2.25,
    usage={"ru_utime": 1.5, "ru_maxrss": 827460},
    hostname="node1",
    node="local/node1",
    cpus=(0, 1),
    sandbox="bwrap",
    limits={"memory": "cgroup-v1"},
    hardware=HARDWARE,
    outputs=(OutputFile(path="a.txt", size=1, digest="sha256:00"),),
)


def _report(
    result: Result = RESULT, stdout: bytes = b"", stderr: bytes = b"", failure: Failure | None = None
) -> dict[str, Any]:
    return report(
        result,
        stdout=stdout,
        stderr=stderr,
        script_sha256="ab" * 32,
        python_version="3.11.7",
        failure=failure,
    )


def test_amuns_readers_find_their_keys_and_types() -> None:
    found = _report(stdout=b'{"@result": {"rate": 2}}', stderr=b"chatter\n")
    assert found["exit_code"] == 0
    assert found["stdout"] == {"@result": {"rate": 2}}
    assert found["stderr"] == "chatter\n"
    assert found["script_sha256"] == "ab" * 32
    assert found["usage"].keys() == set(USAGE)
    assert found["usage"]["ru_utime"] == 1.5
    assert (found["start_datetime"], found["end_datetime"]) == (
        "2020-09-13T12:26:40.250000",
        "2020-09-13T12:26:42.500000",
    )
    assert found["datetime"] == found["end_datetime"]
    assert found["os_release"]["version_id"] == "12"
    assert found["runtime_environment"] == {
        "cuda_version": "12.8",
        "hardware": {"cpu_family": 6, "cpu_model": 85},
        "operating_system": {"name": "debian", "version": "12"},
        "python_version": "3.11",
    }
    assert found["hwinfo"] == HARDWARE
    assert found["hostname"] == "node1"


def test_what_amun_lacked_is_there() -> None:
    found = _report()
    assert (found["duration"], found["cpus"], found["sandbox"], found["limits"]) == (
        2.25,
        [0, 1],
        "bwrap",
        {"memory": "cgroup-v1"},
    )
    assert found["outputs"] == [{"path": "a.txt", "size": 1, "digest": "sha256:00"}]
    assert found["metrics"] == {"duration": 2.25}


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (Result(exit_code=3), 3),
        (Result(signal=9), 137),
        (Result(error="program not found: x"), 127),
        (Result(lost=True), 137),
    ],
)
def test_the_exit_code_is_always_a_number(result: Result, code: int) -> None:
    assert _report(result)["exit_code"] == code


@pytest.mark.parametrize(
    ("stdout", "shown"),
    [
        (b"", {}),
        (b" \n", {}),
        (b"[1, 2]\n", [1, 2]),
        (b"1.5\n", 1.5),
        (b'"text"', "text"),
        (b"{}{}", "{}{}"),
        (b"done\n", "done\n"),
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        (b'"\\ud800\\u0000"', "\\ud800\\x00"),
        (b"\xff\x00\x1b[0m", "\\xff\\x00\x1b[0m"),
        (b"9" * 30, 1e30),
        (b"9" * 5000, "9" * 5000),
        (b"1e999", None),
        (b"\xef\xbb\xbf[1]", [1]),
    ],
)
def test_stdout_that_is_json_is_kept_as_json_and_all_else_as_text(stdout: bytes, shown: Any) -> None:
    found = _report(stdout=stdout)
    assert found["stdout"] == shown
    json.dumps(found, allow_nan=False)


def test_numbers_that_json_has_no_word_for_are_left_out_and_said_so() -> None:
    found = _report(stdout=b'{"@parameters": {"n": NaN}, "@result": {"good": 1, "bad": NaN}}')
    assert found["metrics"] == {"duration": 2.25, "good": 1.0}
    assert found["parameters"] == {"n": None}
    assert found["notes"] == ["bad: left out, not a usable number"]


def test_json_that_is_nested_too_deep_stays_text() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert isinstance(_report(stdout=deep)["stdout"], str)
    assert isinstance(_report(stdout=b"[" * 200 + b"]" * 200)["stdout"], str)


def test_long_text_shows_its_head_and_tail_and_says_so() -> None:
    found = _report(stderr=b"a" * TEXT + b"b" * TEXT)
    assert found["stderr_shortened"] is True
    assert found["stderr"].startswith("a" * (TEXT // 2) + "\n... ")
    assert found["stderr"].endswith("b" * (TEXT // 2))


def test_what_the_job_wrote_beyond_what_was_kept_is_told() -> None:
    found = _report(
        Result(exit_code=0, stdout=Stream(size=10**10, kept=10, truncated=True, digest="sha256:11")),
        stdout=b"x" * 10,
    )
    assert (found["stdout_size"], found["stdout_truncated"], found["stdout_digest"]) == (
        10**10,
        True,
        "sha256:11",
    )


def test_a_failure_comes_along() -> None:
    found = _report(failure=Failure(stage="run", kind="timeout", message="It took long."))
    assert found["failure"] == {"stage": "run", "kind": "timeout", "message": "It took long."}


def test_a_bare_result_has_every_key() -> None:
    bare, full = _report(Result()), _report()
    assert bare.keys() == full.keys()
    assert bare["start_datetime"] is None
    assert bare["runtime_environment"]["hardware"] == {"cpu_family": None, "cpu_model": None}
