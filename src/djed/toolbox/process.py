"""The only place in the engine that starts processes: argument vectors, never a shell."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from djed.errors import DjedError, MissingPartError, RunnerError, ToolError

__all__ = ["Completed", "follow", "run", "spawn_detached"]

_KEPT = 16 * 2**20
_LINE = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """A process that has ended."""

    argv: tuple[str, ...]
    code: int
    """Exit code; negative: the number of the signal that ended it."""
    stdout: bytes
    """At most 16 MiB."""
    stderr: bytes
    """At most 16 MiB."""


def run(
    argv: Sequence[str],
    *,
    timeout: float = 60.0,
    input: bytes = b"",  # noqa: A002  # the word of subprocess
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> Completed:
    """Run a foreign tool that we trust, and wait for it.

    ``env`` replaces the environment; ``None``: ours. Raises ``MissingPartError`` where there is no such program, ``ToolError``
    after ``timeout`` seconds and, with ``check``, for an exit code other than 0.
    """
    name = Path(argv[0]).name
    try:
        done = subprocess.run(
            argv, timeout=timeout, input=input, env=env, cwd=cwd, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise MissingPartError(f"{name} is not on this machine.", hint=f"Install {name}.") from error
    except PermissionError as error:
        raise ToolError(f"{name} cannot be executed: {error.strerror}.") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{name} did not answer within {timeout:g} s.") from error
    if check and done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ToolError(
            f"{name} failed with exit code {done.returncode}.", hint=said[-1][:400] if said else None
        )
    return Completed(
        argv=tuple(argv), code=done.returncode, stdout=done.stdout[:_KEPT], stderr=done.stderr[:_KEPT]
    )


def follow(
    argv: Sequence[str],
    told: Callable[[str], None],
    *,
    feed: Callable[[BinaryIO], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Run a foreign tool to its end, however long it takes; ``told`` gets each line of its output as it comes, both streams as one.

    ``feed`` writes its input. Returns the exit code; negative: the number of the signal that ended it. It is killed when ``told`` raises
    or we are interrupted. Raises ``MissingPartError`` where there is no such program, and what ``feed`` raises, but for a pipe
    that the program closed.
    """
    failures: list[Exception] = []
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise MissingPartError(
            f"{Path(argv[0]).name} is not on this machine.", hint=f"Install {argv[0]}."
        ) from error
    except PermissionError as error:
        raise ToolError(f"{Path(argv[0]).name} cannot be executed: {error.strerror}.") from error
    feeder = threading.Thread(target=_feed, args=(process.stdin, feed, failures)) if feed else None
    try:
        if feeder is not None:
            feeder.start()
        assert process.stdout is not None
        while line := process.stdout.readline(_LINE):
            told(line.decode(errors="replace").rstrip("\r\n"))
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if feeder is not None:
            feeder.join()
        assert process.stdout is not None
        process.stdout.close()
    if failures:
        raise failures[0]
    return code


def _feed(stdin: BinaryIO | None, feed: Callable[[BinaryIO], None], failures: list[Exception]) -> None:
    assert stdin is not None
    try:
        # The program may end before it has read all: its exit code says why.
        with suppress(BrokenPipeError), stdin:
            feed(stdin)
    except (OSError, DjedError) as error:
        failures.append(error)


def spawn_detached(
    argv: Sequence[str], *, env: Mapping[str, str], log: Path, stdin: int | None = None
) -> int:
    """Start a program that outlives us, and return its process id, which the caller reaps.

    It has a session of its own and nothing of ours but ``env`` and the descriptor ``stdin``, without which its stdin is empty: other
    descriptors are closed on exec (PEP 446). stdout and stderr go to ``log``. It costs 1 ms, and no more with a big engine, because
    nothing is copied (vfork). Raises ``MissingPartError`` where there is no such program, ``RunnerError`` (transient) where the machine
    is out of something.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    empty = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    actions = (
        empty if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    try:
        return os.posix_spawn(argv[0], list(argv), env, file_actions=actions, setsid=True)
    except FileNotFoundError as error:
        raise MissingPartError(f"{argv[0]} is not on this machine.") from error
    except OSError as error:  # no process, no descriptor or no space to be had now
        raise RunnerError(
            f"{Path(argv[0]).name} cannot be started: {error.strerror}.", transient=True
        ) from error
