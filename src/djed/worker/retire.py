"""Machines that went away for good: what they had in work is done elsewhere.

A machine whose workers all fell silent may have lost its power, or only its network. Its attempts get a new fencing token, so that whatever
it still brings is refused; its inspections are planned anew, for any machine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import sqlalchemy as sa

from djed.model.job import Attempt, Job
from djed.store import events, inspections, nodes
from djed.store.rows import load
from djed.store.schema import UNFINISHED, attempts, job_uses, jobs
from djed.store.schema import inspections as inspection_table

__all__ = ["retire", "stragglers"]

_logger = logging.getLogger(__name__)


def retire(connection: sa.Connection, before: float) -> int:
    """Take the work of machines that were last heard of before that time away from them; how many inspections."""
    count = 0
    for place in nodes.silent_places(connection, before):
        ids = list(
            connection.execute(
                sa.select(inspection_table.c.id)
                .where(UNFINISHED, inspection_table.c.place == place)
                .with_for_update(skip_locked=True)
            ).scalars()
        )
        if ids:
            _logger.warning(
                "nothing was heard of the machine %s; %d inspections are planned anew", place, len(ids)
            )
            _take_back(connection, ids)
        nodes.forget(connection, place)
        count += len(ids)
    return count


def stragglers(connection: sa.Connection, nodes_: Sequence[str], since: float) -> list[Attempt]:
    """Attempts on these nodes that were given up: where they run on, they run for nobody."""
    rows = connection.execute(
        sa.select(jobs.c.spec, attempts)
        .join(jobs, jobs.c.id == attempts.c.job)
        .where(attempts.c.state == "lost", attempts.c.node.in_(nodes_), attempts.c.ended_at > since)
    )
    return [
        Attempt(name=row.name, job_id=row.job, number=row.number, job=job, node=row.node)
        for row in rows
        if (job := load(Job, row.spec)) is not None
    ]


def _take_back(connection: sa.Connection, ids: list[str]) -> None:
    now = time.time()
    theirs = sa.select(job_uses.c.job).where(job_uses.c.inspection.in_(ids))
    unfinished = (jobs.c.id.in_(theirs), jobs.c.state.in_(("queued", "active")))
    lost = sa.select(jobs.c.attempt).where(*unfinished, jobs.c.state == "active")
    connection.execute(
        sa.update(attempts).where(attempts.c.name.in_(lost)).values(state="lost", ended_at=now)
    )
    connection.execute(
        sa.update(jobs)
        .where(*unfinished)
        .values(state="cancelled", owner=None, lease_until=0.0, cpus=None, key=None, token=jobs.c.token + 1)
    )
    # The attempts stay on record under another role, where no step takes them for its own.
    connection.execute(
        sa.update(job_uses)
        .where(job_uses.c.inspection.in_(ids))
        .values(role=sa.literal("before:") + job_uses.c.job + sa.literal(":") + job_uses.c.role)
    )
    rows = connection.execute(
        sa.select(inspection_table.c.id, inspection_table.c.namespace).where(inspection_table.c.id.in_(ids))
    ).all()
    connection.execute(
        sa.update(inspection_table)
        .where(inspection_table.c.id.in_(ids))
        .values(
            state="queued",
            place=None,
            plan=None,
            owner=None,
            lease_until=0.0,
            token=inspection_table.c.token + 1,
        )
    )
    inspections.wake(connection, ids)
    events.add(connection, [(row.id, "state", {"state": "queued"}, now, row.namespace) for row in rows])
