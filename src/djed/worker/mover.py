"""Moving inspections on: those that are due are claimed in batches, take a step of the flow, and what it decided is written."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from djed.model.inspection import FINAL
from djed.pipeline import Move, Step, advance
from djed.store import events, inspections, job_records
from djed.worker import account

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.model.inspection import JobRecord
    from djed.store.inspections import Claimed
    from djed.store.store import Store
    from djed.worker.context import StoreContext
    from djed.worker.counters import Tally

__all__ = ["Mover"]

_logger = logging.getLogger(__name__)
_BATCH = 128
_RATE = 20.0
"""Looks a second at a database that many write to, where each costs a dozen round trips: what came meanwhile is one batch."""
_BURST = 8
"""Looks that may follow one another at once before that, so that what comes now and then does not wait."""

Records = Mapping[str, Sequence["JobRecord"]]


class Mover:
    """The part of a worker that moves inspections on."""

    def __init__(
        self, store: Store, context: StoreContext, tally: Tally, *, name: str, flow: Mapping[str, Step] | None
    ) -> None:
        self._store = store
        self._context = context
        self._tally = tally
        self._name = name
        self._flow = flow
        self._pace = _Pace()

    def move(self, stop: threading.Event) -> bool:
        """Let inspections that are due take steps, and keep those that can go on at once. Whether there were any."""
        if not self._store.database.serial:
            stop.wait(self._pace.rest())
        claimed, records = self._claim()
        worked = bool(claimed)
        while claimed:
            moves = [
                (item, advance(item.inspection, records[item.inspection.id], self._context, self._flow))
                for item in claimed
            ]
            claimed, records = self._apply(moves)
        return worked

    def _claim(self) -> tuple[list[Claimed], Records]:
        """Nobody is told: what is ours now is no work for others."""
        now, place = time.time(), self._store.place
        if self._store.database.serial:  # a look that does not stand in the way of writers
            with self._store.database.read() as connection:
                if not inspections.any_due(connection, now, place):
                    return [], {}
        with self._store.database.write() as connection:
            claimed = inspections.claim(
                connection,
                owner=self._name,
                now=now,
                lease=self._context.config.lease,
                limit=_BATCH,
                place=place,
            )
            return claimed, _records(connection, claimed)

    def _apply(self, moves: Sequence[tuple[Claimed, Move]]) -> tuple[list[Claimed], Records]:
        """Write the moves; the inspections that take their next step at once."""
        kept: list[Claimed] = []
        made: list[tuple[Claimed, Move]] = []
        new: list[events.NewEvent] = []
        now = time.time()
        changes = [_change(item, move) for item, move in moves]
        with self._store.change(by=self._name) as connection:
            account.prepare(connection, moves)
            written = inspections.apply(connection, changes, now=now)
            for (item, move), change in zip(moves, changes, strict=True):
                if item.inspection.id not in written:
                    id_ = item.inspection.id
                    _logger.warning("inspection %s: late writer refused", id_, extra={"inspection": id_})
                    continue
                new += account.record(connection, item, move, now)
                made.append((item, move))
                if change.keep:
                    kept.append(replace(item, inspection=replace(item.inspection, **_fields(move))))
            account.use(connection, made, now, place=self._store.place)
            events.add(connection, new)
            records = _records(connection, kept)
        for item, move in made:
            self._tally.moved(item, move, now)
        return kept, records


@dataclass(slots=True)
class _Pace:
    """So many looks a second, a few at once (the generic cell rate algorithm)."""

    due: float = 0.0

    def rest(self) -> float:
        """Seconds to wait before the next look."""
        now = time.monotonic()
        self.due = max(self.due, now - _BURST / _RATE) + 1 / _RATE
        return max(0.0, self.due - now)


def _records(connection: sa.Connection, claimed: Sequence[Claimed]) -> Records:
    if not claimed:
        return {}
    return job_records.of_inspection(connection, [item.inspection.id for item in claimed], with_results=False)


def _change(item: Claimed, move: Move) -> inspections.Change:
    keep = not move.park and move.changes.get("state") not in FINAL
    return inspections.Change(claimed=item, fields=move.changes, park=move.park, keep=keep)


def _fields(move: Move) -> dict[str, Any]:
    """The changes that the noun has; the rest are columns."""
    return {name: value for name, value in move.changes.items() if name not in {"node", "metric", "place"}}
