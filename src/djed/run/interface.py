"""The runner: the code that talks to one kind of target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from djed.model.hardware import Node
from djed.model.job import Attempt, Handle, JobStatus
from djed.model.result import Result

__all__ = ["Materials", "Runner"]


class Materials(Protocol):
    """Where a runner gets what a job needs. Given to the runner by the engine; its methods may be called from any thread."""

    def blob(self, digest: str) -> Path:
        """A local file with the content of that digest, not to be written. Raises ``NotFoundError``."""
        ...

    def artifact(self, digest: str) -> Path:
        """The folder of that artifact, not to be written. Raises ``NotFoundError``, or ``UnsafeError`` if it was tampered with."""
        ...

    def secret(self, namespace: str, name: str) -> bytes:
        """The value of a secret; it must not be written anywhere in the clear. Raises ``NotFoundError``, or what opening it raises."""
        ...


class Runner(Protocol):
    """Runs attempts on the nodes of one target.

    All methods may be called from several threads. ``RunnerError.transient`` says whether the same call may succeed later; any other
    ``DjedError`` is final for the attempt.
    """

    target: str
    """Name of the target."""

    def nodes(self) -> Sequence[Node]:
        """The inventory, with stable ids. Called at start and then rarely; may take a second."""
        ...

    def equip(self) -> None:
        """Look for what only some requests need, like container engines; :meth:`nodes` tells of it from then on. May take seconds, once."""
        ...

    def submit(self, attempt: Attempt) -> Handle:
        """Start the attempt.

        A normal return means that the outside knows it under ``attempt.name``: whatever happens to us, :meth:`find` will find
        it. An exception means that nothing was started. To submit an attempt that is already there starts nothing and returns
        its handle.
        """
        ...

    def find(self, attempt: Attempt) -> Handle | None:
        """Did it start before we died? Called once per attempt after a crash, before anything is started again."""
        ...

    def poll(self, handles: Sequence[Handle]) -> Mapping[str, JobStatus]:
        """What is known, by name, of many at once. Never guesses: a handle of which nothing is known now is left out."""
        ...

    def fileno(self, handle: Handle) -> int | None:
        """A descriptor that becomes readable when the status may have changed, so that nobody polls; ``None`` where there is none.

        It stays the runner's and is valid until :meth:`collect` or :meth:`release`.
        """
        ...

    def logs(self, handle: Handle, stream: str = "stdout", offset: int = 0) -> Iterator[bytes]:
        """What ``stdout`` or ``stderr`` holds from ``offset`` on, now; does not wait for more. Nothing if it is not there yet."""
        ...

    def cancel(self, handle: Handle) -> None:
        """End the attempt and all its processes. Returns at once; it is over when :meth:`poll` says so. Harmless when it is over."""
        ...

    def collect(self, handle: Handle, into: Path) -> Result:
        """Bring the job directory home: ``into`` then holds ``stdout``, ``stderr`` and ``outputs/``. May be called again after a crash.

        Only after :meth:`poll` said ``over`` or ``lost``; a lost attempt gives ``Result(lost=True)`` with what there is of its
        output. ``Result.outputs`` and the digests of the streams are left to the caller. ``outputs/`` was written by the job:
        follow no link in it.
        """
        ...

    def release(self, handle: Handle) -> None:
        """Forget the attempt and remove what it left outside. After its result is safe."""
        ...
