"""The command line as a user types it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["begin", "djed", "environment", "read_until"]


def environment() -> dict[str, str]:
    """The test's environment, with this Python's packages and tools."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def djed(*arguments: str, code: int = 0, given: str | None = None) -> str:
    """Stdout of a command that ends with that exit code; ``given`` is its stdin."""
    command = [sys.executable, "-m", "djed", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=100, env=environment(), input=given
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def begin(*arguments: str) -> subprocess.Popen[str]:
    """A command that runs."""
    command = [sys.executable, "-m", "djed", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


def read_until(process: subprocess.Popen[str], word: str) -> None:
    """Wait for a line of progress."""
    assert process.stderr is not None
    assert any(word in line for line in process.stderr), word
