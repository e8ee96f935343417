"""What followers are told: the frames of each kind of stream."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from djed.api.sse import HEARTBEAT, Bookmark, Mark, frame, json_of, opening
from djed.api.tails import decode
from djed.errors import DjedError
from djed.store import events, job_records

if TYPE_CHECKING:
    from djed.api.hub import Hub, Listener, News
    from djed.model.inspection import Inspection

__all__ = ["Check", "InspectionStream", "JobStream", "NamespaceStream"]

Check = Callable[[], Awaitable[None]]
"""Raises ``DjedError`` where the follower may not follow any more."""

Frames = AsyncGenerator[bytes, None]

_HEARTBEAT = 15.0
_CHECK = 30.0
"""Seconds after which we ask again whether the follower may still follow."""
_STARTED = ("waiting", "started")
_ENDED = ("succeeded", "failed", "cancelled")


class _EndedError(DjedError):
    """The server stops."""


@dataclass(slots=True)
class _Cursor:
    """How far one follower was told the log of a job."""

    job: str
    role: str | None
    offsets: dict[str, int]
    """By stream."""
    attempt: int = 0
    ended: bool = False

    @property
    def mark(self) -> Mark:
        """The same as a part of a bookmark."""
        return Mark(attempt=self.attempt, **self.offsets)

    @property
    def names(self) -> dict[str, Any]:
        """What every frame about this log says."""
        role = {} if self.role is None else {"role": self.role}
        return {"job": self.job, **role, "attempt": self.attempt}


class _Stream(ABC):
    """One follower's stream, from where its bookmark says."""

    def __init__(self, hub: Hub, check: Check, bookmark: Bookmark) -> None:
        self._hub = hub
        self._check = check
        self._checked = time.monotonic()
        self._bookmark = bookmark
        self._cursors: dict[str, _Cursor] = {}
        self._over = False

    @abstractmethod
    def frames(self) -> Frames:
        """The stream."""

    @abstractmethod
    async def _step(self, listener: Listener) -> list[bytes]:
        """Some of what there is to be told; nothing where there is nothing now."""

    def _id(self) -> Bookmark:
        """Where we are."""
        marks = {job: cursor.mark for job, cursor in self._cursors.items() if cursor.attempt}
        return Bookmark(position=self._bookmark.position, marks=marks)

    async def _run(self, listener: Listener) -> Frames:
        """Step by step. What cannot go on ends: the follower comes back, and hears why."""
        yield opening(self._id())
        while not self._over:
            listener.wake.clear()
            try:
                found = await self._step(listener)
                if not found:
                    found = [] if await self._rest(listener) else [HEARTBEAT]
            except DjedError:
                return
            if found:
                yield b"".join(found)

    async def _rest(self, listener: Listener) -> bool:
        """Until there may be something new; ``False`` when it is time for a sign of life. Raises ``DjedError`` where it ends here."""
        if self._hub.closing:
            raise _EndedError("The server stops.")
        if time.monotonic() - self._checked > _CHECK:
            await self._check()
            self._checked = time.monotonic()
        return await listener.wait(_HEARTBEAT)

    def _open(self, listener: Listener, job: str, role: str | None, streams: Iterable[str]) -> _Cursor:
        """Follow the log of a job, from where the bookmark says."""
        listener.follow(job)
        if job not in self._cursors:
            mark = self._bookmark.marks.get(job, Mark(attempt=0))
            offsets = {stream: getattr(mark, stream) for stream in streams}
            self._cursors[job] = _Cursor(job=job, role=role, offsets=offsets, attempt=mark.attempt)
        return self._cursors[job]

    async def _log(self, listener: Listener, cursor: _Cursor) -> list[bytes]:
        """The next of a log, a chunk of each stream."""
        log = listener.tails[cursor.job].log
        if log is None or cursor.ended:
            return []
        found = []
        if log.number != cursor.attempt:
            cursor.attempt, cursor.offsets = log.number, dict.fromkeys(cursor.offsets, 0)
            found.append(frame("attempt", json_of(cursor.names), self._id()))
        quiet = True
        for stream, offset in cursor.offsets.items():
            data = await listener.read(cursor.job, stream, offset)
            if listener.tails[cursor.job].log is not log:
                return found  # what was read may be of another attempt
            text, taken = decode(data, last=False)
            if data and not taken and log.over:
                text, taken = decode(data, last=True)
            if taken:
                quiet = False
                cursor.offsets[stream] = offset + taken
                told = {**cursor.names, "stream": stream, "offset": offset, "text": text}
                found.append(frame("log", json_of(told), self._id()))
        cursor.ended = log.over and quiet
        return found


class NamespaceStream(_Stream):
    """All events of a namespace."""

    def __init__(self, hub: Hub, check: Check, bookmark: Bookmark, *, namespace: str) -> None:
        super().__init__(hub, check, bookmark)
        self._namespace = namespace

    async def frames(self) -> Frames:
        """From the bookmark, or from now on; without an end."""
        after = self._bookmark.position or None
        async with self._hub.subscribe(self._namespace, after=after) as listener:
            self._bookmark = Bookmark(position=listener.position)
            async for item in self._run(listener):
                yield item

    async def _step(self, listener: Listener) -> list[bytes]:
        return [frame(news.event.kind, news.json, news.event.position) for news in await listener.news()]


class JobStream(_Stream):
    """The log of a job."""

    def __init__(
        self, hub: Hub, check: Check, bookmark: Bookmark, *, job: str, streams: tuple[str, ...]
    ) -> None:
        super().__init__(hub, check, bookmark)
        self._job = job
        self._streams = streams

    async def frames(self) -> Frames:
        """Until the job is over and all was told."""
        async with self._hub.subscribe(None) as listener:
            self._open(listener, self._job, None, self._streams)
            async for item in self._run(listener):
                yield item

    async def _step(self, listener: Listener) -> list[bytes]:
        cursor = self._cursors[self._job]
        found = await self._log(listener, cursor)
        if cursor.ended:
            self._over = True
            found.append(frame("end", json_of(cursor.names), self._id()))
        return found


class InspectionStream(_Stream):
    """What happens to an inspection and, if asked for, what its jobs write.

    All that a job wrote is told before its end. So a bookmark names only the jobs that are under way.
    """

    def __init__(
        self, hub: Hub, check: Check, bookmark: Bookmark, *, inspection: Inspection, streams: tuple[str, ...]
    ) -> None:
        """``streams`` of jobs that are told too; none: only events."""
        super().__init__(hub, check, bookmark)
        self._inspection = inspection
        self._streams = streams
        self._news: deque[News] = deque()
        self._ended: set[str] = set()
        """Jobs whose end was told."""

    async def frames(self) -> Frames:
        """Until the last event was told."""
        found, position = self._inspection, self._bookmark.position
        async with self._hub.subscribe(found.namespace, found.id, after=position) as listener:
            if self._streams and position:
                self._ended = await self._hub.run(self._told_before)
                await self._meet(listener)
            async for item in self._run(listener):
                yield item

    async def _step(self, listener: Listener) -> list[bytes]:
        if not self._news:
            self._news.extend(await listener.news())
        if not self._news:
            return await self._logs(listener)
        news = self._news[0]
        found, settled = await self._logs_before(listener, news)
        if found or not settled:
            return found
        self._news.popleft()
        self._over = news.is_final
        self._bookmark = Bookmark(position=news.event.position, marks=self._bookmark.marks)
        told = frame(news.event.kind, news.json, self._id())
        if self._streams and news.event.kind == "job" and news.event.data.get("state") in _STARTED:
            await self._meet(listener)
        return [told]

    async def _logs(self, listener: Listener) -> list[bytes]:
        """The next of every log that we follow."""
        found = []
        for cursor in self._cursors.values():
            found += await self._log(listener, cursor)
        return found

    async def _logs_before(self, listener: Listener, news: News) -> tuple[list[bytes], bool]:
        """What is to be told before an event: all of a job's log before its end; and whether that was all."""
        data = news.event.data
        job = data.get("job")
        ends = news.event.kind == "job" and data.get("state") in _ENDED
        if not self._streams or not ends or job is None or job in self._ended:
            return [], True
        cursor = self._open(listener, job, data.get("role"), self._streams)
        found = await self._log(listener, cursor)
        if found or not cursor.ended:
            return found, False
        del self._cursors[job]
        listener.leave(job)
        self._ended.add(job)
        return [], True

    async def _meet(self, listener: Listener) -> None:
        """Follow the logs of the jobs that run now, whether they were started for us or for another inspection."""
        for job, role in await self._hub.run(self._running):
            if job not in self._ended:
                self._open(listener, job, role, self._streams)

    def _running(self) -> list[tuple[str, str]]:
        id_ = self._inspection.id
        with self._hub.store.database.read() as connection:
            found = job_records.of_inspection(connection, [id_], with_results=False)[id_]
        return [(record.id, record.role) for record in found if record.state == "active"]

    def _told_before(self) -> set[str]:
        """The jobs whose end lies before the bookmark."""
        found, position = set[str](), ""
        end = tuple(map(int, self._bookmark.position.split(".")))
        with self._hub.store.database.read() as connection:
            while page := events.after(connection, [self._inspection.id], position):
                for event in page:
                    if (event.xact, event.seq) > end:
                        return found
                    if event.kind == "job" and event.data.get("state") in _ENDED:
                        found.add(event.data.get("job", ""))
                position = page[-1].position
        return found
