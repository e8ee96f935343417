"""Foreign tools run as argument vectors, and what goes wrong is an error of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from djed.errors import MissingPartError, ToolError
from djed.toolbox import process


def test_run_returns_what_the_tool_said() -> None:
    done = process.run(["/bin/sh", "-c", "cat; echo err >&2; exit 3"], input=b"in", check=False)
    assert (done.code, done.stdout, done.stderr) == (3, b"in", b"err\n")


def test_run_replaces_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    assert b"hunter2" not in process.run(["/usr/bin/env"], env={"A": "b"}).stdout


def test_run_names_a_missing_tool() -> None:
    with pytest.raises(MissingPartError, match="no-such-tool"):
        process.run(["/nowhere/no-such-tool"])


def test_run_names_what_cannot_be_executed(tmp_path: Path) -> None:
    (tmp_path / "tool").touch(mode=0o644)
    with pytest.raises(ToolError, match="cannot be executed"):
        process.run([str(tmp_path / "tool")])


def test_run_shows_the_last_line_of_a_failure() -> None:
    with pytest.raises(ToolError, match="exit code 4") as caught:
        process.run(["/bin/sh", "-c", "echo first >&2; echo last >&2; exit 4"])
    assert caught.value.hint == "last"


def test_run_ends_what_takes_too_long() -> None:
    with pytest.raises(ToolError, match="within"):
        process.run(["/bin/sleep", "60"], timeout=0.01)


def test_run_passes_words_as_they_are() -> None:
    words = ["a b", "$HOME", ";", "`id`", "*"]
    assert process.run(["/usr/bin/printf", "%s|", *words]).stdout.decode() == "".join(
        f"{word}|" for word in words
    )


def test_spawn_detached_has_a_session_of_its_own_and_nothing_of_ours(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    ours = str(Path(f"/proc/self/fd/{writer}").readlink())
    script = "for f in /proc/$$/fd/*; do readlink $f; done; env; cut -d' ' -f6 /proc/$$/stat"
    pid = process.spawn_detached(["/bin/sh", "-c", script], env={"ONLY": "this"}, log=tmp_path / "log")
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    said = (tmp_path / "log").read_text().split()
    assert ours not in said
    assert "ONLY=this" in said
    assert said[-1] == str(pid)


def test_spawn_detached_names_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="nowhere"):
        process.spawn_detached(["/nowhere/x"], env={}, log=tmp_path / "log")
