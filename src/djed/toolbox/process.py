"""The only place in the engine that starts processes: argument vectors, never a shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from djed.errors import MissingPartError, RunnerError, ToolError

__all__ = ["Completed", "run", "spawn_detached"]

_KEPT = 16 * 2**20


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
