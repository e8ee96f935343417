"""Following inspections: their events as they come and, where asked, a wake-up whenever a running job writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from djed.store import events, inspections, jobs
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
    with ExitStack() as stack:
        bell = Bell(store.bells)
        stack.callback(bell.close)
        watch: Watch | None = None
        while True:
            with store.database.read() as connection:
                unfinished = inspections.unfinished(connection, ids)
                new = events.after(connection, ids, after)
                running = jobs.running(connection, ids) if logs and (new or watch is None) else []
            if running:
                # Made before the logs are read, so that what is written between reading and waiting still wakes.
                watch = stack.enter_context(Watch([store.attempts / name for name in running]))
            yield from new
            after = new[-1].seq if new else after
            if not new and (not unfinished or broken()):
                return
            if not new and _quiet(bell, watch, tick) and unfinished:
                yield None


def _quiet(bell: Bell, watch: Watch | None, tick: float) -> bool:
    """Wait for the bell, for a log or for the time; whether there may be something to show though no bell rang."""
    descriptor = watch.fileno() if watch is not None else None
    rung = bell.wait(tick, [] if descriptor is None else [descriptor])
    if watch is not None and descriptor in rung:
        watch.wait(0)
        return True
    return not rung
