"""``djed inspect``: what is submitted, what progress says, how it ends, and what Ctrl-C does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from djed.cli import follow, views
from djed.errors import ServerError

Djed = Callable[..., Any]


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "hello.sh"
    path.write_text("#!/bin/sh\necho hello\n")
    return str(path)


def only(engine: Any, name: str, **changes: Any) -> Any:
    """Let the engine know only that inspection, so that it is what a submission becomes."""
    item = replace(engine.get(name), **changes)
    engine.inspections = {item.id: item}
    return item


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_phase_is_a_line_on_stderr_and_the_result_is_on_stdout(
    djed: Djed, engine: Any, script: str
) -> None:
    result = djed("inspect", script)
    assert result.code == 0
    assert result.err.splitlines() == [
        "Locked 12 packages in 310ms",
        "Built environment (24.1 MiB) CACHED",
        "Ran 2 \u00d7 matmul.py in 1.52s",
    ]
    assert result.out.splitlines()[0] == "matmul succeeded  3f2a9c1b7d"
    assert "Measured: 2 runs; a comparison takes 4" in result.out


def test_a_worker_is_at_work_only_meanwhile(djed: Djed, engine: Any, script: str) -> None:
    item = engine.get("matmul")
    engine.history[item.id].insert(0, lambda: engine.calls.append(("working", engine.at_work)))
    djed("inspect", script)
    assert ("working", True) in engine.calls
    assert not engine.at_work


def test_quiet_leaves_only_the_data(djed: Djed, engine: Any, script: str) -> None:
    assert djed("-q", "inspect", script).err == ""


def test_json_is_the_whole_inspection(djed: Djed, engine: Any, script: str) -> None:
    value = json.loads(djed("inspect", script, "--json").out)
    assert (value["id"], value["outcome"], value["stack"]) == ("3f2a9c1b7d", "succeeded", {"numpy": "2.1.3"})


def test_a_failure_shows_step_log_sentence_hint_and_class(djed: Djed, engine: Any, script: str) -> None:
    only(engine, "broken")
    result = djed("inspect", script)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        "✗ matmul.py failed on local/here after 750ms, exit code 1",
        "  │ Traceback",
        "  │ ModuleNotFoundError: No module named 'distutils'",
        "error: No module named 'distutils', which psij needs  [import_error]",
        "hint: Run it on Python 3.11 or older.",
    ]


def test_a_failure_shows_the_last_20_lines_at_most(djed: Djed, engine: Any, script: str) -> None:
    only(engine, "broken")
    engine.texts["job-run:0", "stderr"] = b"".join(b"line %d\n" % number for number in range(100))
    shown = [line for line in djed("inspect", script).err.splitlines() if "│" in line]
    assert (len(shown), shown[-1]) == (20, "  │ line 99")


def test_a_refusal_shows_the_table_and_exits_with_5(djed: Djed, engine: Any, script: str) -> None:
    only(engine, "picky")
    result = djed("inspect", script)
    assert result.code == 5
    assert "run.hardware.gpu.count  4+      0       no" in result.err


def test_a_cancelled_inspection_exits_with_130(djed: Djed, engine: Any, script: str) -> None:
    only(engine, "matmul", state="cancelled", outcome=None)
    assert djed("inspect", script).code == 130


def test_detached_prints_only_the_id(djed: Djed, engine: Any, script: str) -> None:
    result = djed("inspect", "-d", script)
    assert (result.code, result.out) == (0, "3f2a9c1b7d\n")
    assert "djed logs -f 3f2a9c1b7d" in result.err


def test_several_files_are_told_apart(djed: Djed, engine: Any, script: str) -> None:
    result = djed("inspect", script, script)
    assert len(engine.submitted) == 2
    assert "matmul: Locked 12 packages in 310ms" in result.err
    assert "broken 9e8d7c6b5a" in result.err


def test_options_lie_over_the_request(djed: Djed, engine: Any, script: str) -> None:
    options = [
        "--repeat",
        "7",
        "--python",
        "3.11",
        "--with",
        "numpy<2",
        "--with",
        "scipy",
        "--sandbox",
        "bwrap",
    ]
    djed(
        "inspect", script, *options, "--reuse", "nothing", "--name", "mine", "--fresh", "--", "--repeat", "-x"
    )
    request = engine.submitted[0].request
    assert (request.name, request.sandbox, request.reuse, request.run.repeat) == (
        "mine",
        "bwrap",
        "nothing",
        7,
    )
    assert request.environment.packages == ("numpy<2", "scipy")
    assert request.run.arguments == ("--repeat", "-x")
    assert ("submit", True) in engine.calls


@pytest.mark.parametrize(
    "option", [["--repeat", "0"], ["--with", "not a package!"], ["--name", "../x"], ["--python", "x;y"]]
)
def test_options_are_checked_like_the_file(djed: Djed, engine: Any, script: str, option: list[str]) -> None:
    result = djed("inspect", script, *option)
    assert (result.code, engine.submitted) == (2, [])
    assert result.err.startswith("error: ")


def test_every_fault_of_a_request_is_shown_once(djed: Djed, engine: Any, tmp_path: Path, script: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("run:\n  script: hello.sh\n  repeet: 3\n  timeout: soon\nfoo: 1\n")
    result = djed("inspect", str(path))
    assert result.code == 2
    assert [
        result.err.count(word) for word in ("wrong.yaml:3: run.repeet", "line 4: run.timeout", "line 5: foo")
    ] == [1, 1, 1]


def test_a_build_only_request_takes_no_arguments(djed: Djed, engine: Any, tmp_path: Path) -> None:
    path = tmp_path / "build.yaml"
    path.write_text("environment: {packages: [numpy]}\n")
    assert djed("inspect", str(path), "--", "x").code == 2


def test_one_interrupt_cancels(djed: Djed, engine: Any, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_GRACE", 0.0)
    item = only(engine, "matmul", state="running", outcome=None)
    engine.history[item.id] = [interrupt, None]
    result = djed("inspect", script)
    assert (result.code, ("cancel", item.id) in engine.calls) == (130, True)
    assert result.err.count("Cancelling") == 1


def test_two_interrupts_leave_the_job_running(djed: Djed, engine: Any, script: str) -> None:
    item = only(engine, "matmul", state="running", outcome=None)
    engine.history[item.id] = [interrupt, interrupt, None]
    result = djed("inspect", script)
    assert (result.code, ("cancel", item.id) in engine.calls) == (130, False)
    assert f"djed logs -f {item.id}" in result.err


def test_an_interrupt_after_the_end_changes_nothing(djed: Djed, engine: Any, script: str) -> None:
    engine.history["3f2a9c1b7d"].append(interrupt)
    assert djed("inspect", script).code == 0


def test_interrupts_are_python_s_again_afterwards(djed: Djed, engine: Any, script: str) -> None:
    before = signal.getsignal(signal.SIGINT)
    djed("inspect", script)
    assert signal.getsignal(signal.SIGINT) == before


def test_following_the_logs_shows_what_comes_and_how_it_ends(djed: Djed, engine: Any) -> None:
    item = only(engine, "broken", state="running")
    engine.records[item.id][-1] = replace(engine.records[item.id][-1], state="active")

    def ends() -> None:
        engine.texts["job-run:0", "stdout"] += b"more\n"
        engine.inspections[item.id] = replace(item, state="done")

    engine.history[item.id] = [None, ends]
    result = djed("logs", "-f", "broken", "--stdout")
    assert result.code == 1
    assert result.out == "hello\n\x1b[31mred\x1b[0m\nmore\n"


@pytest.mark.usefixtures("terminal")
def test_a_followed_log_is_neutral_on_a_terminal_whole_lines_at_a_time(djed: Djed, engine: Any) -> None:
    item = only(engine, "matmul", state="running", outcome=None)
    engine.records[item.id] = [replace(one, state="active") for one in engine.records[item.id]]
    engine.texts["job-run:0", "stdout"] = b"one\x1b[3"

    def more() -> None:
        engine.texts["job-run:0", "stdout"] += b"1mtwo\nthree"

    engine.history[item.id] = [None, more]
    assert "onetwo\nthree\n" in djed("logs", "-f", "matmul", "--stdout", "--job", "run:0").out


def test_retry_follows_the_new_one(djed: Djed, engine: Any) -> None:
    result = djed("retry", "matmul")
    assert (result.code, ("retry", "matmul") in engine.calls) == (0, True)
    assert "Again as 3f2a9c1b7d" in result.err


def test_a_log_that_is_over_is_read_once(djed: Djed, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    item = only(engine, "matmul", state="running", outcome=None)
    read, log = [], engine.log

    def noted(job: str, *rest: Any) -> Any:
        read.append(job)
        return log(job, *rest)

    monkeypatch.setattr(engine, "log", noted)
    engine.history[item.id] = [None, None, None]
    djed("logs", "-f", "matmul", "--stdout", "--job", "run:0")
    assert read.count("job-run:0") == 1


def test_a_server_that_is_away_for_a_moment_ends_nothing(
    djed: Djed, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = only(engine, "matmul", state="running", outcome=None)
    engine.history[item.id] = [None, None]
    answers = iter([ServerError("It cannot be reached."), None, None])
    jobs = engine.jobs

    def sometimes(inspection: str) -> Any:
        if error := next(answers, None):
            raise error
        return jobs(inspection)

    monkeypatch.setattr(engine, "jobs", sometimes)
    assert djed("logs", "-f", "matmul", "--stdout", "--job", "run:0").out.startswith("hello\n")


def test_a_server_that_stays_away_is_left_with_a_way_back(djed: Djed, engine: Any, script: str) -> None:
    item = only(engine, "matmul", state="running", outcome=None)

    def lost() -> None:
        raise ServerError("https://djed.example cannot be reached.", hint="Is it running?")

    engine.history[item.id] = [None, lost]
    result = djed("inspect", script)
    assert (result.code, result.err.splitlines()) == (
        8,
        [
            "error: https://djed.example cannot be reached.",
            f"hint: Its work goes on. Come back with: djed logs -f {item.id}",
        ],
    )


def test_a_view_goes_on_while_the_server_is_away() -> None:
    answers: Iterator[bytes | None] = iter([b"one\n", b"", None, b"", b"two\n", b""])

    def read(job: str, stream: str, offset: int) -> bytes:
        if (answer := next(answers)) is None:
            raise ServerError("It cannot be reached.")
        return answer

    tails = views._Tails(read)
    assert [tails.lines("job") for _ in range(3)] == [["one"], ["one"], ["one", "two"]]
