"""Logs that grow: each is read once for all who follow it, and the newest of it is kept in memory for them.

Who is further behind than what is kept reads from the store, at his own pace. So a slow follower costs no memory and misses nothing.
"""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from djed.store import job_logs
from djed.store.job_logs import STREAMS, JobLog

if TYPE_CHECKING:
    from pathlib import Path

    from djed.store.store import Store

__all__ = ["KEPT", "Growth", "Reader", "Tail", "Window", "decode"]

KEPT = 256 * 1024
"""Bytes of each followed stream that are kept in memory, at least; twice as many at most."""


def decode(data: bytes, *, last: bool) -> tuple[str, int]:
    """The text of whole characters, and of how many bytes it is.

    What is no UTF-8 is replaced; a character that is cut at the end is left, unless this is the ``last`` of it.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, last)
    return text, len(data) - len(decoder.getstate()[0])


class Window:
    """The newest bytes of a stream."""

    def __init__(self) -> None:
        self.start = 0
        """Offset of the first byte that is here."""
        self._data = bytearray()

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return self.start + len(self._data)

    def put(self, start: int, data: bytes) -> None:
        """Add what came; where it does not follow what is here, it replaces it."""
        if start != self.end:
            self.start = start
            self._data.clear()
        self._data += data
        if len(self._data) > 2 * KEPT:
            spare = len(self._data) - KEPT
            del self._data[:spare]
            self.start += spare

    def get(self, offset: int, limit: int) -> bytes:
        """What is here from an offset on; nothing where it does not begin here."""
        begin = offset - self.start
        return bytes(self._data[begin : begin + limit]) if 0 <= begin < len(self._data) else b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """What is new of a log."""

    log: JobLog
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each stream that were kept, where it is over."""
    pieces: tuple[tuple[str, int, bytes], ...] = ()
    """Stream, offset, bytes."""


class Tail:
    """A log as its followers see it. Belongs to the event loop."""

    def __init__(self) -> None:
        self.log: JobLog | None = None
        """``None`` until it was looked at."""
        self.wakes: set[asyncio.Event] = set()
        """Of its followers."""
        self._sizes: Mapping[str, int] = {}
        self._windows = {stream: Window() for stream in STREAMS}

    def grow(self, growth: Growth) -> None:
        """Take what is new, and wake the followers."""
        if self.log is None or growth.log.number != self.log.number:
            self._windows = {stream: Window() for stream in STREAMS}
        self.log, self._sizes = growth.log, growth.sizes
        for stream, start, data in growth.pieces:
            self._windows[stream].put(start, data)
        for wake in self.wakes:
            wake.set()

    def get(self, stream: str, offset: int, limit: int) -> bytes:
        """What is in memory from an offset on."""
        return self._windows[stream].get(offset, limit)

    def is_elsewhere(self, stream: str, offset: int) -> bool:
        """Whether the store has what comes at this offset, and we have not."""
        return offset < max(self._windows[stream].start, self._sizes.get(stream, 0))


class Reader:
    """Reads a log as it grows. Belongs to the thread of the pump."""

    def __init__(self, store: Store, log: JobLog) -> None:
        self.log = log
        self._store = store
        self._files: dict[str, int] = {}
        self._ends: dict[str, int] = dict.fromkeys(STREAMS, 0)

    @property
    def folder(self) -> Path | None:
        """The job directory, where it may be on this machine."""
        return None if self.log.attempt is None else self._store.attempts / self.log.attempt

    @property
    def complete(self) -> bool:
        """Whether all files are open: until then there may be one to be found."""
        return len(self._files) == len(STREAMS)

    def begin(self, log: JobLog) -> None:
        """Go on with what the store says now."""
        if log.number != self.log.number:
            self.close()
            self._ends = dict.fromkeys(STREAMS, 0)
        self.log = log

    def read(self) -> tuple[tuple[str, int, bytes], ...]:
        """What came since the last time; of much only the newest. Raises ``StoreError``."""
        found = []
        for stream in STREAMS if self.log.attempt is not None else ():
            start, data = self._read(self.log.attempt or "", stream)
            if data:
                found.append((stream, start, data))
                self._ends[stream] = start + len(data)
        return tuple(found)

    def _read(self, attempt: str, stream: str) -> tuple[int, bytes]:
        if stream not in self._files:
            descriptor = job_logs.open_live(self._store, attempt, stream)
            if descriptor is None:
                end = self._ends[stream]
                return end, job_logs.read(self._store, self.log, stream, offset=end, limit=KEPT)
            self._files[stream] = descriptor
        size = os.fstat(self._files[stream]).st_size
        start = max(self._ends[stream], size - KEPT)
        return start, os.pread(self._files[stream], size - start, start)

    def sizes(self) -> dict[str, int]:
        """Bytes that were kept of a log that is over."""
        return {stream: job_logs.size(self._store, self.log, stream) for stream in self.log.kept}

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()
