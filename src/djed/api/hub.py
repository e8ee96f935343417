"""Everybody who follows something: streams and long polls, hundreds in one process, woken by one thread."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from djed.api.pump import Batch, Pump
from djed.api.sse import json_of
from djed.api.tails import Tail
from djed.errors import ServerError
from djed.model.codec import encode
from djed.model.inspection import FINAL
from djed.store import events, job_logs

if TYPE_CHECKING:
    from djed.model.inspection import Event, Inspection
    from djed.service.engine import Engine
    from djed.store.store import Store

__all__ = ["Hub", "Listener", "News"]

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 4
"""Reads of the store at once on behalf of followers."""
_PENDING = 256
"""Events kept for a follower who is slow; one with more to come reads them from the store, where they are anyway."""
_CHUNK = 32 * 1024


class News:
    """An event on its way to its followers; its JSON is made once for all of them."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.order = (event.xact, event.seq)

    @cached_property
    def json(self) -> str:
        """The event, and its position."""
        return json_of({**encode(self.event), "position": self.event.position})

    @property
    def is_final(self) -> bool:
        """Whether it is the last one of its inspection, but for clean-ups."""
        return self.event.kind == "done" or (
            self.event.data.get("state") in FINAL and self.event.kind == "state"
        )


class Listener:
    """One follower. Belongs to the event loop; made by :meth:`Hub.subscribe`."""

    def __init__(self, hub: Hub, namespace: str | None, inspection: str | None, position: str) -> None:
        self.wake = asyncio.Event()
        """Set when there may be something new. To be cleared before looking."""
        self.position = position
        """Of the last event that was taken."""
        self.tails: dict[str, Tail] = {}
        """Logs that are followed too, by job."""
        self.topic = namespace if inspection is None else (namespace, inspection)
        self.hub = hub
        self._namespace = namespace
        self._inspection = inspection
        self._pending: deque[News] = deque()
        self._behind = namespace is not None

    def offer(self, news: News) -> None:
        """Take note of an event."""
        if len(self._pending) >= _PENDING:
            self._behind = True
            self._pending.clear()
        if not self._behind:
            self._pending.append(news)
        self.wake.set()

    async def news(self) -> list[News]:
        """The next events, in order, each once; none where there are none now. Raises ``StoreError``."""
        if self._behind:
            found = await self._catch_up()
        else:
            found = list(self._pending)
            self._pending.clear()
        known = tuple(map(int, self.position.split("."))) if self.position else (-1, -1)
        found = [item for item in found if item.order > known]
        if found:
            self.position = found[-1].event.position
        return found

    async def wait(self, seconds: float) -> bool:
        """Until there may be something new; ``False`` when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            return False
        return True

    def follow(self, job: str) -> Tail:
        """Follow a log too."""
        if job not in self.tails:
            self.tails[job] = self.hub.tail(job)
            self.tails[job].wakes.add(self.wake)
            self.wake.set()
        return self.tails[job]

    def leave(self, job: str) -> None:
        """Follow that log no more."""
        tail = self.tails.pop(job, None)
        if tail is not None:
            tail.wakes.discard(self.wake)
            self.hub.let_go(job)

    async def read(self, job: str, stream: str, offset: int) -> bytes:
        """What is there of a followed log from an offset on. Raises ``StoreError``."""
        tail = self.tails[job]
        data = tail.get(stream, offset, _CHUNK)
        if data or tail.log is None or not tail.is_elsewhere(stream, offset):
            return data
        return await self.hub.run(
            job_logs.read, self.hub.store, tail.log, stream, offset=offset, limit=_CHUNK
        )

    async def _catch_up(self) -> list[News]:
        self._behind = False
        self._pending.clear()
        try:
            found = await self.hub.run(self._read)
        except BaseException:
            self._behind = True
            raise
        self._behind |= len(found) == _PENDING
        return [News(event) for event in found]

    def _read(self) -> list[Event]:
        with self.hub.store.database.read() as connection:
            if self._inspection is not None:
                return events.after(connection, [self._inspection], self.position, limit=_PENDING)
            return events.since(connection, self.position, namespace=self._namespace, limit=_PENDING)


class Hub:
    """Tells followers what happens. Made and used in one event loop; see :meth:`close` for the order in which it ends."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.closing = False
        """Whether the server stops: followers are to end."""
        self._listeners: dict[object, set[Listener]] = {}
        self._tails: dict[str, Tail] = {}
        self._keys: dict[str, int] = {}
        """Of the tails: one that was let go of and comes back has another."""
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._numbers = itertools.count()
        self._taken = threading.Event()
        self._pump: Pump | None = None
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="djed-hub")

    def start(self) -> None:
        """Begin, in the event loop to which all followers belong. Raises ``StoreError``."""
        self._loop = asyncio.get_running_loop()
        self._pump = Pump(self.store, self._deliver)

    def close(self) -> None:
        """End all followers, in the event loop, when the server begins to stop: it waits for their calls to end. May be called again."""
        self.closing = True
        self._taken.set()
        for listener in self._everybody():
            listener.wake.set()

    async def stop(self) -> None:
        """Let go of everything, when all calls have ended."""
        self.close()
        if self._pump is not None:
            await asyncio.to_thread(self._pump.stop)
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call something that waits for the store, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))

    @asynccontextmanager
    async def subscribe(
        self, namespace: str | None, inspection: str | None = None, *, after: str | None = ""
    ) -> AsyncIterator[Listener]:
        """Follow a namespace, or one of its inspections, behind a position (``""``: from the beginning; ``None``: from now on).

        Without a namespace only logs are followed. Raises ``StoreError``, and ``ServerError`` when the server is about to stop.
        """
        listener = Listener(self, namespace, inspection, after or "")
        self._listeners.setdefault(listener.topic, set()).add(listener)
        try:
            await self._attend()
            if after is None:
                listener.position = await self.run(self._latest)
            yield listener
        finally:
            for job in list(listener.tails):
                listener.leave(job)
            group = self._listeners[listener.topic]
            group.discard(listener)
            if not group:
                del self._listeners[listener.topic]
            self._tell_pump()

    async def until(
        self, engine: Engine, reference: str, holds: Callable[[Inspection], bool], seconds: float
    ) -> Inspection:
        """The inspection as soon as something holds of it, at the latest after some time. Raises ``NotFoundError``, ``StoreError``."""
        deadline = time.monotonic() + seconds
        found = await self.run(engine.get, reference)
        if holds(found) or seconds <= 0:
            return found
        async with self.subscribe(found.namespace, found.id) as listener:
            while True:
                listener.wake.clear()
                found = await self.run(engine.get, found.id)
                left = deadline - time.monotonic()
                if holds(found) or left <= 0 or self.closing:
                    return found
                await listener.wait(left)

    async def final(self, engine: Engine, reference: str, seconds: float) -> Inspection:
        """The inspection when it is final, at the latest after some time."""
        return await self.until(engine, reference, lambda found: found.state in FINAL, seconds)

    def tail(self, job: str) -> Tail:
        """The log of a job, read from now on."""
        if job not in self._tails:
            self._tails[job], self._keys[job] = Tail(), next(self._numbers)
            self._tell_pump()
        return self._tails[job]

    def let_go(self, job: str) -> None:
        """One follower less; after the last one it is not read any more."""
        if not self._tails[job].wakes:
            del self._tails[job], self._keys[job]
            self._tell_pump()

    async def _attend(self) -> None:
        """Until the pump knows of us: of whatever happens from here on we are told."""
        if self.closing or self._pump is None:
            raise ServerError("The server is about to stop.")
        number, told = next(self._numbers), self._loop.create_future()
        self._asked[number] = told
        try:
            self._tell_pump(number)
            await told
        finally:
            del self._asked[number]

    def _tell_pump(self, ask: int | None = None) -> None:
        followers = sum(map(len, self._listeners.values()))
        if self._pump is not None:
            self._pump.want(followers=followers, jobs=self._keys.items(), ask=ask)

    def _latest(self) -> str:
        with self.store.database.read() as connection:
            return events.latest(connection)

    def _everybody(self) -> list[Listener]:
        return [listener for group in self._listeners.values() for listener in group]

    def _deliver(self, batch: Batch) -> None:
        """From the pump's thread; waits until the loop took it, so that a busy loop is not buried in batches."""
        if self.closing:
            return
        self._taken.clear()
        self._loop.call_soon_threadsafe(self._take, batch)
        self._taken.wait()

    def _take(self, batch: Batch) -> None:
        self._taken.set()
        for number in batch.attended:
            told = self._asked.get(number)
            if told is not None and not told.done():
                told.set_result(None) if batch.trouble is None else told.set_exception(batch.trouble)
        for event in batch.events:
            news = News(event)
            for topic in (event.namespace, (event.namespace, event.inspection)):
                for listener in self._listeners.get(topic, ()):
                    listener.offer(news)
        for growth in batch.growths:
            tail = self._tails.get(growth.log.job)
            if tail is not None:
                tail.grow(growth)
