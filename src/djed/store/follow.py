"""Following inspections: their events as they come and, where asked, a wake-up whenever a running job writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from djed.errors import StoreError
from djed.store import events, job_records, lookup
from djed.toolbox.bell import Bell
from djed.toolbox.watch import Watch

if TYPE_CHECKING:
    from djed.model.inspection import Event
    from djed.store.store import Store

__all__ = ["follow"]

_PATIENCE = 60.0
"""Seconds for which a store that cannot be read is asked again."""
_SOON = 0.02
"""Seconds until a look for events that are held back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What one look at the store found."""

    events: Sequence[Event]
    ended: bool
    soon: bool
    """Whether there is more that can be told in a moment."""
    running: Sequence[str]
    """Attempts whose logs are to be watched."""


def follow(
    store: Store, ids: Sequence[str], after: str, *, tick: float, logs: bool, broken: Callable[[], bool]
) -> Iterator[Event | None]:
    """Events behind ``after``; ``None`` every ``tick`` seconds without one and, with ``logs``, when a job wrote.

    Ends when all inspections are final, or when ``broken`` says that nobody works on them any more. Waits for a store that is away for a
    while. Raises ``StoreError`` where it stays away.
    """
    store.listen()
    bell, watch = Bell(store.bells), None
    seen = time.monotonic()
    try:
        while True:
            # An attempt is known before its folder is there.
            blind = watch is None or watch.fileno() is None
            try:
                look = _look(store, ids, after, logs=logs, blind=blind)
            except StoreError as error:
                if not error.transient or broken() or time.monotonic() - seen > _PATIENCE:
                    raise
                bell.wait(max(tick, _SOON))
                yield None
                continue
            seen = time.monotonic()
            if look.running:
                # Begun before the logs are read: what is written between reading and waiting still wakes.
                watch = _watch(store, look.running, instead_of=watch)
            yield from look.events
            if look.events:
                after = look.events[-1].position
            elif look.ended or (broken() and not look.soon):
                return
            else:
                _wait(bell, watch, _SOON if look.soon else tick)
                yield None
    finally:
        bell.close()
        if watch is not None:
            watch.close()


def _look(store: Store, ids: Sequence[str], after: str, *, logs: bool, blind: bool) -> _Look:
    with store.database.read() as connection:
        new = events.after(connection, ids, after)
        soon = not new and events.held_back(connection)
        return _Look(
            events=new,
            ended=not new and not soon and not lookup.unfinished(connection, ids),
            soon=soon,
            running=job_records.running(connection, ids) if logs and (new or blind) else [],
        )


def _watch(store: Store, attempts: Sequence[str], *, instead_of: Watch | None) -> Watch:
    if instead_of is not None:
        instead_of.close()
    return Watch([store.attempts / name for name in attempts])


def _wait(bell: Bell, watch: Watch | None, tick: float) -> None:
    """Until something changed, a job wrote, or the time is over."""
    descriptor = watch.fileno() if watch is not None else None
    if bell.wait(tick, [] if descriptor is None else [descriptor]) and watch is not None:
        watch.wait(0)
