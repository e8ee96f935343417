"""Jobs as the rest of Djed reads them. Each function takes the connection of the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from djed.model.inspection import AttemptRecord, JobRecord
from djed.model.job import Attempt, Job
from djed.model.observation import Failure
from djed.store.database import among
from djed.store.rows import load, load_json
from djed.store.schema import UNFINISHED_JOBS, attempts, inspections, job_uses, jobs

__all__ = [
    "active",
    "all_attempts",
    "any_queued",
    "attempt_of",
    "cancelled",
    "current",
    "of_inspection",
    "roles",
    "running",
    "seen_by",
    "users",
]


def attempt_of(row: Any) -> Attempt:
    """The current attempt of a row of jobs."""
    spec_ = load(Job, row.spec)
    assert spec_ is not None
    return Attempt(
        name=row.attempt,
        job_id=row.id,
        number=row.attempts,
        job=spec_,
        node=row.node,
        cpus=tuple(load_json(row.cpus) or ()),
    )


def any_queued(connection: sa.Connection, node: str) -> bool:
    """Whether anything waits for a node: a look that takes no write lock."""
    return (
        connection.execute(
            sa.select(jobs.c.seq)
            .where(UNFINISHED_JOBS, jobs.c.state == "queued", jobs.c.node == node)
            .limit(1)
        ).first()
        is not None
    )


def cancelled(connection: sa.Connection, owner: str) -> list[str]:
    """Names of our active attempts that are to be cancelled."""
    rows = connection.execute(
        sa.select(jobs.c.attempt).where(
            UNFINISHED_JOBS, jobs.c.state == "active", jobs.c.owner == owner, jobs.c.cancel_requested
        )
    )
    return list(rows.scalars())


def running(connection: sa.Connection, ids: Sequence[str]) -> list[str]:
    """Names of the active attempts of inspections."""
    rows = connection.execute(
        sa.select(jobs.c.attempt)
        .join(job_uses, job_uses.c.job == jobs.c.id)
        .where(job_uses.c.inspection.in_(ids), jobs.c.state == "active")
    )
    return list(rows.scalars())


def roles(connection: sa.Connection, job: str) -> list[tuple[str, str, str]]:
    """Inspections that use a job, each with its namespace and what it is for it."""
    rows = connection.execute(
        sa.select(job_uses.c.inspection, inspections.c.namespace, job_uses.c.role)
        .join(inspections, inspections.c.id == job_uses.c.inspection)
        .where(job_uses.c.job == job)
    )
    return [(row.inspection, row.namespace, row.role) for row in rows]


def users(connection: sa.Connection, job: str) -> list[str]:
    """Inspections that use a job."""
    return list(connection.execute(sa.select(job_uses.c.inspection).where(job_uses.c.job == job)).scalars())


def current(connection: sa.Connection, job: str) -> tuple[Attempt, dict[str, Any] | None] | None:
    """The current or accepted attempt of a job, and its report where it has one; ``None`` before the first."""
    row = connection.execute(
        sa.select(jobs, attempts.c.result)
        .join(attempts, attempts.c.name == jobs.c.attempt)
        .where(jobs.c.id == job)
    ).one_or_none()
    return None if row is None else (attempt_of(row), load_json(row.result))


def active(connection: sa.Connection, names: Sequence[str]) -> list[str]:
    """Those of these attempts that are not over."""
    rows = connection.execute(
        sa.select(jobs.c.attempt).where(UNFINISHED_JOBS, jobs.c.state == "active", jobs.c.attempt.in_(names))
    )
    return list(rows.scalars())


def all_attempts(connection: sa.Connection, inspection: str) -> list[AttemptRecord]:
    """Every attempt of the jobs of an inspection, in order of start."""
    rows = connection.execute(
        sa.select(attempts)
        .where(attempts.c.job.in_(sa.select(job_uses.c.job).where(job_uses.c.inspection == inspection)))
        .order_by(attempts.c.started_at, attempts.c.name)
    )
    return [
        AttemptRecord(
            name=row.name,
            job=row.job,
            number=row.number,
            node=row.node,
            state=row.state,
            started_at=row.started_at,
            ended_at=row.ended_at,
            cpus=tuple(load_json(row.cpus) or ()),
            result=load_json(row.result),
        )
        for row in rows
    ]


def seen_by(connection: sa.Connection, job: str, namespace: str) -> bool:
    """Whether an inspection of the namespace uses the job."""
    return any(found == namespace for _, found, _ in roles(connection, job))


def of_inspection(
    connection: sa.Connection, ids: Sequence[str], *, with_results: bool, role: str | None = None
) -> dict[str, list[JobRecord]]:
    """The jobs of each inspection, or those of one role, in the order in which they were made."""
    columns: list[Any] = [
        job_uses.c.inspection, job_uses.c.role, jobs.c.id, jobs.c.kind, jobs.c.state, jobs.c.attempts, jobs.c.attempt, jobs.c.node,
        jobs.c.failure, attempts.c.started_at, attempts.c.ended_at,
    ]  # fmt: skip
    if with_results:
        columns.append(attempts.c.result)
    rows = connection.execute(
        sa.select(*columns)
        .join(jobs, jobs.c.id == job_uses.c.job)
        .outerjoin(attempts, attempts.c.name == jobs.c.attempt)
        .where(
            among(connection, job_uses.c.inspection, ids),
            sa.true() if role is None else job_uses.c.role == role,
        )
        .order_by(jobs.c.seq)
    )
    found: dict[str, list[JobRecord]] = {id_: [] for id_ in ids}
    for row in rows:
        found[row.inspection].append(
            JobRecord(
                id=row.id,
                kind=row.kind,
                role=row.role,
                state=row.state,
                attempts=row.attempts,
                attempt=row.attempt,
                node=row.node,
                started_at=row.started_at,
                ended_at=row.ended_at,
                result=load_json(row.result) if with_results else None,
                failure=load(Failure, row.failure),
            )
        )
    return found
