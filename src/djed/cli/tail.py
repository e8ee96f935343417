"""The logs of running jobs, as they grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from djed.cli.render.text import bold, dim, log_lines

if TYPE_CHECKING:
    from djed.cli.console import Console
    from djed.model.inspection import JobRecord
    from djed.model.job import JobState
    from djed.service import Service

__all__ = ["Tail"]

_OVER: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})


class Tail:
    """Prints what is new in the logs of an inspection: raw where piped, neutralised line by line on a terminal."""

    def __init__(self, engine: Service, console: Console, streams: Sequence[str], role: str | None) -> None:
        self._engine = engine
        self._console = console
        self._streams = streams
        self._role = role
        self._offsets: dict[tuple[str, str], int] = {}
        self._rests: dict[tuple[str, str], bytes] = {}
        self._last = ""
        self._jobs: Sequence[JobRecord] = ()
        self._stale = True
        self._over: set[str] = set()
        """Jobs that write no more and are shown to their end."""

    def print(self, inspection: str, *, changed: bool = True, final: bool = False) -> None:
        """Print what came since the last call. ``changed``: there may be other jobs; ``final``: also a line without its end."""
        self._stale = self._stale or changed or final
        if self._stale:
            self._jobs = self._engine.jobs(inspection)
            self._stale = False
        for job in self._jobs:
            if job.id in self._over or (self._role is not None and job.role != self._role):
                continue
            over = final or job.state in _OVER
            for stream in self._streams:
                self._grow(job.id, job.role, stream, final=over)
            if over:
                self._over.add(job.id)

    def _grow(self, job: str, role: str, stream: str, *, final: bool) -> None:
        key = (job, stream)
        offset = self._offsets.get(key, 0)
        new = self._engine.log(job, stream, offset)
        self._offsets[key] = offset + len(new)
        if not self._console.shows:
            self._title(role, new)
            self._console.raw(new)
            return
        # A line is shown when it is whole, so that no escape sequence or character is cut in two.
        whole = self._rests.pop(key, b"") + new
        if not final:
            whole, end, self._rests[key] = whole.rpartition(b"\n")
            whole += end
        self._title(role, whole)
        self._console.lines([(line,) for line in log_lines(whole.decode(errors="replace"))] if whole else [])

    def _title(self, role: str, shown: bytes) -> None:
        if shown and role != self._last:
            self._console.note(dim("── "), bold(role))
            self._last = role
