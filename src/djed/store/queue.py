"""Where an inspection stands in the queue, and when it may start. Each function takes the connection of the caller's transaction."""

from __future__ import annotations

import sqlalchemy as sa

from djed.model.inspection import Inspection
from djed.model.preview import QueuePlace
from djed.store import fairness
from djed.store.rows import load_json
from djed.store.schema import UNFINISHED, UNFINISHED_JOBS, attempts, inspections, jobs
from djed.store.service_schema import nodes

__all__ = ["ahead", "expected", "place_of"]

_RECENT = 200
"""Attempts from which the time that a job takes is told."""


def place_of(connection: sa.Connection, inspection: Inspection, *, cpus: int, now: float) -> QueuePlace:
    """Where it stands. ``cpus``: those of its node, or of all nodes while none is chosen."""
    row = connection.execute(sa.select(inspections).where(inspections.c.id == inspection.id)).one()
    if inspection.state != "queued":
        return QueuePlace(state=inspection.state, running=_running(connection, row.node))
    position = ahead(connection, row.priority, row.rank, row.seq)
    return QueuePlace(
        state=inspection.state,
        position=position,
        running=_running(connection, None),
        expected_start=expected(connection, position, cpus=cpus, now=now),
        waits_for=_reason(connection, inspection),
    )


def ahead(connection: sa.Connection, priority: int, rank: int, seq: int) -> int:
    """Waiting inspections that come before one of this priority, rank and number."""
    earlier = (inspections.c.rank < rank) | ((inspections.c.rank == rank) & (inspections.c.seq < seq))
    return connection.execute(
        sa.select(sa.func.count())
        .select_from(inspections)
        .where(
            UNFINISHED,
            inspections.c.state == "queued",
            (inspections.c.priority > priority) | ((inspections.c.priority == priority) & earlier),
        )
    ).scalar_one()


def expected(connection: sa.Connection, position: int, *, cpus: int, now: float) -> float | None:
    """When the inspection behind ``position`` others may start, by what attempts took of late; ``None`` where none has ended yet.

    CPU time of all that comes before it, shared by all CPUs: a job without a limit of its own holds the whole node.
    """
    rows = connection.execute(
        sa.select(attempts.c.started_at, attempts.c.ended_at, attempts.c.cpus)
        .join(jobs, jobs.c.attempt == attempts.c.name)
        .where(attempts.c.ended_at.is_not(None))
        .order_by(jobs.c.seq.desc())
        .limit(_RECENT)
    ).all()
    if not rows:
        return None
    work = [(row.ended_at - row.started_at) * max(1, len(load_json(row.cpus) or ())) for row in rows]
    waiting = connection.execute(
        sa.select(sa.func.count()).select_from(jobs).where(UNFINISHED_JOBS)
    ).scalar_one()
    return float(now + (position + waiting) * (sum(work) / len(work)) / max(1, cpus))


def _running(connection: sa.Connection, node: str | None) -> int:
    query = sa.select(sa.func.count()).where(UNFINISHED_JOBS, jobs.c.state == "active")
    if node is not None:
        query = query.where(jobs.c.node == node)
    return connection.execute(query).scalar_one()


def _reason(connection: sa.Connection, inspection: Inspection) -> str | None:
    """What it waits for beside its turn."""
    full = fairness.usage(connection, inspection.namespace).full
    words = {"queued": "inspections in work", "storage": "storage"}
    for name, what in words.items():
        if name in full:
            return f"The namespace {inspection.namespace} is at its quota of {what}."
    if connection.execute(sa.select(nodes.c.id).limit(1)).first() is None:
        return "No worker has told of a node yet."
    return None
