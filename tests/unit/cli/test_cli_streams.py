"""Streams: a reader that goes away, and the view that redraws itself."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from djed.cli import views
from djed.cli.console import Console
from djed.cli.main import main
from djed.cli.render.progress import Progress
from djed.model.inspection import Event

if TYPE_CHECKING:
    import pytest

Djed = Callable[..., Any]
Told = Callable[..., Event]


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "djed", "config"]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_encoding_without_our_signs_is_no_error(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    assert main(["stats", "matmul"]) == 0
    assert b"1.00s ? 1.10s" in stream.buffer.getvalue()


def shown(engine: Any, monkeypatch: pytest.MonkeyPatch, events: Sequence[Event], log: bytes = b"") -> str:
    """What a terminal gets while steps are open."""
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("djed.cli.console.is_terminal", lambda stream: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "60")
    progress = Progress({item.id: item for item in [engine.get("matmul")]})
    view = views.choose(Console(color="never"), progress, lambda job, stream, offset: log[offset:])
    assert isinstance(view, views.LiveView)
    with view:
        for event in events:
            view.say(progress.lines(event))
            view.tick()
        return terminal.getvalue()


def test_an_open_step_shows_the_tail_of_its_log(
    engine: Any, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = b"".join(b"line %d\n" % number for number in range(9)) + b"\x1b]0;evil\x07tail"
    meanwhile = shown(engine, monkeypatch, [told("run:0", "started")], log)
    assert [f"line {number}" in meanwhile for number in range(3, 9)] == [False, False, True, True, True, True]
    assert "│ tail" in meanwhile
    assert "evil" not in meanwhile
    assert "matmul.py (1/2)" in meanwhile


def test_what_waits_is_folded(engine: Any, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile = shown(engine, monkeypatch, [told("run:0", "waiting"), told("run:1", "waiting")])
    assert "matmul.py (1/2) and 1 more step waiting" in meanwhile


def test_a_long_line_is_cut_to_the_terminal(engine: Any, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile = shown(engine, monkeypatch, [told("run:0", "started")], b"x" * 500)
    assert "x" * 61 not in meanwhile
    assert "…" in meanwhile


def test_a_step_that_ends_becomes_a_line(engine: Any, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [told("build", "started"), told("build", "succeeded", seconds=0.28, detail="24.1 MiB")]
    meanwhile = shown(engine, monkeypatch, events)
    assert "Built environment (24.1 MiB) in 280ms" in meanwhile


def test_a_retry_says_why(engine: Any, told: Told) -> None:
    progress = Progress({item.id: item for item in [engine.get("matmul")]})
    line = progress.lines(told("run:0", "retried", detail="the machine went away"))[0]
    assert line[1] == " matmul.py: the machine went away"
