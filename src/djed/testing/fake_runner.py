"""A runner in memory: instant, and it does what the test says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from djed.errors import DjedError, NotFoundError
from djed.model.hardware import Hardware, Node
from djed.model.job import Attempt, Handle, JobStatus
from djed.model.result import Result, Stream

__all__ = ["FakeRunner", "Played"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """What happens when an attempt is submitted."""

    result: Result = Result(exit_code=0)
    stdout: bytes = b""
    stderr: bytes = b""
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    """Files in ``outputs``, by relative path."""
    waits: bool = False
    """Whether it runs on until :meth:`FakeRunner.finish`, ``lose`` or ``cancel``."""
    refusal: DjedError | None = None
    """Raised by ``submit`` instead of a start."""


@dataclass(kw_only=True, slots=True)
class _Started:
    played: Played
    over: bool
    event: int
    lost: bool = False


class FakeRunner:
    """Runs nothing. ``play`` says what each attempt does; by default it succeeds at once."""

    def __init__(
        self,
        play: Callable[[Attempt], Played] | None = None,
        *,
        target: str = "local",
        nodes: Sequence[Node] = (),
    ) -> None:
        self.target = target
        self.starts: list[str] = []
        """Names of the attempts that were really started, in order."""
        self.released: list[str] = []
        self.scripts: dict[str, Played] = {}
        """What single attempts do, by name; goes before ``play``."""
        self._play = play or (lambda _: Played())
        self._nodes = tuple(nodes) or (
            Node(id=f"{target}/fake", target=target, hardware=Hardware(arch="x86_64", cores=2, cpus=(0, 1))),
        )
        self._started: dict[str, _Started] = {}

    def finish(self, name: str) -> None:
        """Let a waiting attempt end as its play says."""
        started = self._started[name]
        if not started.over:
            started.over = True
            os.eventfd_write(started.event, 1)

    def lose(self, name: str) -> None:
        """Let the supervisor of a waiting attempt die."""
        started = self._started[name]
        started.lost = True
        started.played = replace(started.played, result=Result(lost=True))
        os.eventfd_write(started.event, 1)

    def nodes(self) -> Sequence[Node]:
        """The nodes given, or one with two CPUs."""
        return self._nodes

    def equip(self) -> None:
        """There is nothing to look for."""

    def submit(self, attempt: Attempt) -> Handle:
        """Begin the play."""
        if attempt.name not in self._started:
            played = self.scripts.get(attempt.name) or self._play(attempt)
            if played.refusal is not None:
                raise played.refusal
            event = os.eventfd(0 if played.waits else 1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._started[attempt.name] = _Started(played=played, over=not played.waits, event=event)
            self.starts.append(attempt.name)  # last: who sees the name may finish or lose it at once
        return Handle(name=attempt.name, target=self.target)

    def find(self, attempt: Attempt) -> Handle | None:
        """Whether it was submitted."""
        return Handle(name=attempt.name, target=self.target) if attempt.name in self._started else None

    def poll(self, handles: Sequence[Handle]) -> Mapping[str, JobStatus]:
        """Where each play is."""
        return {handle.name: self._status(handle.name) for handle in handles}

    def _status(self, name: str) -> JobStatus:
        started = self._started.get(name)
        if started is None:
            return JobStatus(state="lost", reason="unknown")
        return JobStatus(state="lost" if started.lost else "over" if started.over else "running")

    def fileno(self, handle: Handle) -> int | None:
        """An eventfd that is readable when the play is over."""
        started = self._started.get(handle.name)
        return started.event if started is not None else None

    def logs(self, handle: Handle, stream: str = "stdout", offset: int = 0) -> Iterator[bytes]:
        """All of it is there from the start."""
        if stream not in {"stdout", "stderr"}:
            raise NotFoundError(f"There is no stream {stream!r}.")
        started = self._started.get(handle.name)
        if started is not None and (data := self._stream(started.played, stream)[offset:]):
            yield data

    @staticmethod
    def _stream(played: Played, name: str) -> bytes:
        return played.stdout if name == "stdout" else played.stderr

    def cancel(self, handle: Handle) -> None:
        """End a waiting play as cancelled."""
        started = self._started.get(handle.name)
        if started is not None and not started.over and not started.lost:
            started.played = replace(started.played, result=Result(cancelled=True, signal=15))
            self.finish(handle.name)

    def collect(self, handle: Handle, into: Path) -> Result:
        """Write the streams and outputs of the play."""
        started = self._started.get(handle.name)
        if started is None:
            raise NotFoundError(f"There is no attempt {handle.name!r}.")
        played = started.played
        into.mkdir(parents=True, exist_ok=True)
        (into / "outputs").mkdir(exist_ok=True)
        for name in ("stdout", "stderr"):
            (into / name).write_bytes(self._stream(played, name))
        for path, content in played.outputs.items():
            target = into / "outputs" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        out, err = len(played.stdout), len(played.stderr)
        return replace(played.result, stdout=Stream(size=out, kept=out), stderr=Stream(size=err, kept=err))

    def release(self, handle: Handle) -> None:
        """Forget it."""
        started = self._started.pop(handle.name, None)
        if started is not None:
            self.released.append(handle.name)
            os.close(started.event)
