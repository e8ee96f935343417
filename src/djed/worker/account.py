"""What is written beside the rows themselves: the jobs and observations that a move brings, and the events that followers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from djed.model.inspection import FINAL
from djed.pipeline import Move
from djed.store import events, facts, inspections, job_records, jobs
from djed.store.inspections import Claimed
from djed.store.jobs import Started

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["prepare", "record", "tell", "use"]


def prepare(connection: sa.Connection, moves: Sequence[tuple[Claimed, Move]]) -> None:
    """Hold the jobs that these moves will touch."""
    keys = [job.key for _, move in moves for job in move.jobs if job.key is not None]
    jobs.hold(connection, keys=keys, inspections=[item.inspection.id for item, move in moves if move.cancel])


def use(connection: sa.Connection, moves: Sequence[tuple[Claimed, Move]], now: float, *, place: str) -> None:
    """Remember that the artifacts of these moves are in use."""
    artifacts = [move.changes["artifact"] for _, move in moves if move.changes.get("artifact")]
    artifacts += [digest for _, move in moves for digest in move.uses]
    facts.use_artifacts(connection, artifacts, now, place=place)
    for item, move in moves:
        facts.keep_artifacts(connection, item.inspection.id, move.uses)


def record(connection: sa.Connection, item: Claimed, move: Move, now: float) -> list[events.NewEvent]:
    """What a move brings with it: jobs, observations; and the events that tell of it."""
    inspection, id_ = item.inspection, item.inspection.id
    turn = jobs.Turn(
        lead=item.lead,
        rank=item.rank,
        priority=inspection.request.priority,
        namespace=inspection.namespace,
    )
    jobs.attach(connection, id_, move.jobs, turn=turn, now=now)
    if move.cancel and not jobs.cancel_for(connection, id_) and move.park:
        inspections.wake(connection, [id_])
    facts.add_observations(connection, inspection, move.observations, now)
    told: list[tuple[str, Mapping[str, Any]]] = [
        ("job", {"role": role, "state": "cached", "detail": detail}) for role, detail in move.cached
    ]
    told += [("job", {"role": job.role, "state": "waiting"}) for job in move.jobs]
    state = move.changes.get("state")
    if state in FINAL:
        outcome, seconds = move.changes.get("outcome"), now - inspection.created_at
        told.append(("done", {"state": state, "outcome": outcome, "seconds": seconds}))
    elif state is not None:
        told.append(("state", {"state": state}))
    return [(id_, kind, data, now, inspection.namespace) for kind, data in told]


def tell(
    connection: sa.Connection,
    started: list[Started],
    state: str,
    *,
    now: float,
    more: Mapping[str, Any] | None = None,
) -> None:
    """An event for each inspection that uses the job."""
    new = []
    for item in started:
        attempt = item.attempt
        data = {
            "job": attempt.job_id,
            "state": state,
            "attempt": attempt.name,
            "node": attempt.node,
            **(more or {}),
        }
        for inspection, namespace, role in job_records.roles(connection, attempt.job_id):
            new.append((inspection, "job", {"role": role, **data}, now, namespace))
    events.add(connection, new)
