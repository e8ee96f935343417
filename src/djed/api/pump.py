"""The thread that waits for changes on behalf of all followers, and reads what is new once for all of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from djed.api.tails import Growth, Reader
from djed.errors import StoreError
from djed.store import events, job_logs
from djed.toolbox.bell import Bell
from djed.toolbox.watch import Folders

if TYPE_CHECKING:
    from pathlib import Path

    from djed.model.inspection import Event
    from djed.store.job_logs import JobLog
    from djed.store.store import Store

__all__ = ["Batch", "Pump"]

_logger = logging.getLogger(__name__)
_PAGE = 1000
_IDLE = 15.0
"""Seconds after which it looks although nothing woke it: a wake-up from another machine may be lost."""
_SOON = 0.02
"""Seconds until a look for events that are held back."""
_BLIND = 0.1
"""Seconds between two looks where the system does not tell of changes of files."""
_PATIENCE = 1.0
"""Seconds before a store that could not be read is read again."""
_BREATH = 0.004
"""Seconds between two looks at least, so that a job that writes byte by byte does not keep us busy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one look found."""

    events: tuple[Event, ...] = ()
    growths: tuple[Growth, ...] = ()
    attended: tuple[int, ...] = ()
    """Who asked before this look: of whatever comes after it they are told."""
    trouble: StoreError | None = None
    """Why the store could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What followers want."""

    followers: int = 0
    jobs: frozenset[tuple[str, int]] = frozenset()
    """Each with a number, by which one who comes back is told from who was there before."""
    asked: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What the store said."""

    events: tuple[Event, ...]
    position: str
    soon: bool
    """Whether there will be more in a moment."""
    logs: Mapping[tuple[str, int], JobLog]
    """Of jobs of which the events tell, or that were not looked at yet."""


class Pump:
    """Waits at a bell of the store and at the job directories of followed attempts. While nobody follows, it reads nothing."""

    def __init__(self, store: Store, deliver: Callable[[Batch], None]) -> None:
        """Begin. ``deliver`` is called in the pump's thread; it blocks until the batch was taken, so that only one is on its way."""
        store.listen()
        self._store = store
        self._deliver = deliver
        self._guard = threading.Lock()
        self._wanted = _Wanted()
        self._stop = threading.Event()
        self._bell = Bell(store.bells)
        self._folders = Folders()
        self._readers: dict[tuple[str, int], Reader] = {}
        self._position: str | None = None
        """Behind which nothing was told yet; ``None`` while nobody follows."""
        self._thread = threading.Thread(target=self._run, name="djed-pump", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the end."""
        self._stop.set()
        self._bell.ring()
        self._thread.join()

    def want(self, *, followers: int, jobs: Iterable[tuple[str, int]], ask: int | None = None) -> None:
        """Say how many follow, and which jobs' logs. ``ask``: a number that comes back when they are attended to."""
        more = () if ask is None else (ask,)
        with self._guard:
            asked = (*self._wanted.asked, *more)
            self._wanted = _Wanted(followers=followers, jobs=frozenset(jobs), asked=asked)
        self._bell.ring()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                rest = self._try()
                descriptor = self._folders.fileno()
                self._bell.wait(rest, [] if descriptor is None else [descriptor])
                self._stop.wait(_BREATH)
        finally:
            self._let_go(set(self._readers))
            self._folders.close()
            self._bell.close()

    def _try(self) -> float:
        """Look once, whatever comes of it; how long to rest."""
        with self._guard:
            wanted, self._wanted = self._wanted, replace(self._wanted, asked=())
        try:
            return self._turn(wanted)
        except StoreError as error:
            _logger.warning("Followers are not told anything now: %s", error)
            trouble = error
        except Exception as error:
            _logger.exception("Followers are not told anything now")
            trouble = StoreError(f"What is followed cannot be read: {error}.")
        self._deliver(Batch(attended=wanted.asked, trouble=trouble))
        return _PATIENCE

    def _turn(self, wanted: _Wanted) -> float:
        changed = self._folders.changed()
        self._let_go(set(self._readers) - wanted.jobs)
        if wanted.jobs:
            self._folders.add(self._store.attempts)  # an attempt is known before its folder is there
        else:
            self._folders.remove(self._store.attempts)
        if not wanted.followers:
            self._position = None
            return _IDLE
        look = self._look(wanted.jobs)
        growths = (*self._refresh(look.logs), *self._read(changed, look.logs))
        self._position = look.position
        if look.events or growths or wanted.asked:
            self._deliver(Batch(events=look.events, growths=growths, attended=wanted.asked))
        if len(look.events) == _PAGE:
            return 0.0
        if look.soon:
            return _SOON
        return _BLIND if self._readers and self._folders.fileno() is None else _IDLE

    def _look(self, jobs: frozenset[tuple[str, int]]) -> _Look:
        with self._store.database.read() as connection:
            position = events.latest(connection) if self._position is None else self._position
            new = events.since(connection, position, limit=_PAGE)
            told = {event.data.get("job") for event in new}
            return _Look(
                events=tuple(new),
                position=new[-1].position if new else position,
                soon=not new and events.held_back(connection),
                logs={
                    key: job_logs.look(connection, key[0])
                    for key in jobs
                    if key[0] in told or key not in self._readers
                },
            )

    def _refresh(self, looked: Mapping[tuple[str, int], JobLog]) -> list[Growth]:
        """Go on with the logs as the store says they stand."""
        growths = []
        for key, log in looked.items():
            reader = self._readers.setdefault(key, Reader(self._store, log))
            if log.over or log.attempt != reader.log.attempt:
                self._unwatch(reader)
            reader.begin(log)
            growths.append(self._growth(reader))
            if log.over:
                reader.close()
        return growths

    def _read(self, changed: set[Path], looked: Mapping[tuple[str, int], JobLog]) -> list[Growth]:
        """What was written to the others."""
        due = [
            reader
            for key, reader in self._readers.items()
            if key not in looked and not reader.log.over and (reader.folder in changed or not reader.complete)
        ]
        growths = [self._growth(reader) for reader in due]
        return [growth for growth in growths if growth.pieces]

    def _growth(self, reader: Reader) -> Growth:
        if reader.folder is not None and not reader.complete and not reader.log.over:
            # Begun before it is read: what is written in between still wakes.
            self._folders.add(reader.folder)
        return Growth(log=reader.log, pieces=reader.read(), sizes=reader.sizes())

    def _let_go(self, keys: set[tuple[str, int]]) -> None:
        for key in keys:
            reader = self._readers.pop(key)
            self._unwatch(reader)
            reader.close()

    def _unwatch(self, reader: Reader) -> None:
        if reader.folder is not None:
            self._folders.remove(reader.folder)
