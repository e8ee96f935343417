"""Sending the logs of running attempts to the store, for readers on other machines.

On one machine readers look into the job directory. Where several share a database, each sends what its attempts write, woken by inotify.
When an attempt is over its logs are blobs, and what was sent is dropped.
"""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from djed.errors import DjedError
from djed.store import job_records, logs
from djed.store.store import Store
from djed.toolbox.bell import Bell
from djed.toolbox.watch import Watch

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["Shipping"]

_logger = logging.getLogger(__name__)
_STREAMS = ("stdout", "stderr")
_CHUNK = 256 * 1024
_PAUSE = 0.05
"""Seconds between two looks at attempts that write without end: what they write meanwhile goes in one piece."""
_AGAIN = 5.0
"""Seconds after which it looks without being woken."""


class Shipping:
    """Sends in a thread of its own, from entering it until leaving it; idle where the store has one machine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sent: dict[tuple[str, str], int] = {}
        self._stop = threading.Event()
        self._bell = Bell(store.bells) if store.place else None
        self._thread = threading.Thread(target=self._run, name="djed-shipping", daemon=True)

    def __enter__(self) -> Self:
        if self._bell is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._bell is not None:
            self._bell.ring()
            self._thread.join()
            self._bell.close()

    def _run(self) -> None:
        assert self._bell is not None
        while not self._stop.is_set():
            try:
                watch = self._look()
            except DjedError as error:
                _logger.warning("logs cannot be sent now: %s", error)
                watch = None
            descriptor = watch.fileno() if watch is not None else None
            self._bell.wait(_AGAIN, [] if descriptor is None else [descriptor])
            if watch is not None:
                watch.close()
            self._stop.wait(_PAUSE)

    def _look(self) -> Watch:
        """Send what is new; a watch on all that may write, begun before it was read."""
        present = [path for path in self._store.attempts.glob("djed-*") if path.is_dir()]
        watch = Watch(present)
        with self._store.database.read() as connection:
            active = set(job_records.active(connection, [path.name for path in present]))
        for path in present:
            if path.name in active:
                self._send(path)
        over = {name for name, _ in self._sent} - active
        if over:
            with self._change() as connection:
                logs.drop(connection, sorted(over))
            self._sent = {key: size for key, size in self._sent.items() if key[0] not in over}
        return watch

    def _send(self, attempt: Path) -> None:
        for stream in _STREAMS:
            while data := self._read(attempt, stream):
                key = (attempt.name, stream)
                with self._change() as connection:  # by which readers elsewhere are woken
                    logs.send(connection, attempt.name, stream, start=self._sent[key], data=data)
                self._sent[key] += len(data)

    def _change(self) -> AbstractContextManager[sa.Connection]:
        return self._store.change(by=self._bell.name if self._bell is not None else None)

    def _read(self, attempt: Path, stream: str) -> bytes:
        """The next piece: of a file that only the supervisor writes."""
        key = (attempt.name, stream)
        if key not in self._sent:
            with self._store.database.read() as connection:
                self._sent[key] = logs.sent(connection, attempt.name, stream)
        try:
            with (attempt / stream).open("rb") as file:
                file.seek(self._sent[key])
                return file.read(_CHUNK)
        except FileNotFoundError:
            return b""
