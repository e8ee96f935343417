"""Following inspections: their events as they come and, where asked, a wake-up whenever a running job writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from djed.store import events, inspections, job_records
from djed.toolbox.bell import Bell
from djed.toolbox.watch import Watch

if TYPE_CHECKING:
    from djed.model.inspection import Event
    from djed.store.store import Store

__all__ = ["follow"]


def follow(
    store: Store, ids: Sequence[str], after: int, *, tick: float, logs: bool, broken: Callable[[], bool]
) -> Iterator[Event | None]:
    """Events behind ``after``; ``None`` every ``tick`` seconds without one and, with ``logs``, when a job wrote.

    Ends when all inspections are final, or when ``broken`` says that nobody works on them any more.
    """
    bell, watch = Bell(store.bells), None
    try:
        while True:
            with store.database.read() as connection:
                unfinished = inspections.unfinished(connection, ids)
                new = events.after(connection, ids, after)
                blind = (
                    watch is None or watch.fileno() is None
                )  # an attempt is known before its folder is there
                running = job_records.running(connection, ids) if logs and (new or blind) else []
            if running:
                # Begun before the logs are read: what is written between reading and waiting still wakes.
                watch = _watch(store, running, instead_of=watch)
            yield from new
            after = new[-1].seq if new else after
            if not new and (not unfinished or broken()):
                return
            if not new and unfinished:
                _wait(bell, watch, tick)
                yield None
    finally:
        bell.close()
        if watch is not None:
            watch.close()


def _watch(store: Store, attempts: Sequence[str], *, instead_of: Watch | None) -> Watch:
    if instead_of is not None:
        instead_of.close()
    return Watch([store.attempts / name for name in attempts])


def _wait(bell: Bell, watch: Watch | None, tick: float) -> None:
    """Until something changed, a job wrote, or the time is over."""
    descriptor = watch.fileno() if watch is not None else None
    if bell.wait(tick, [] if descriptor is None else [descriptor]) and watch is not None:
        watch.wait(0)
