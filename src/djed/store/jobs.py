"""Jobs and their attempts in the database. Each function takes the connection of the caller's transaction.

Where several transactions write at a time, all take their rows in one order, so that nobody waits in a circle: jobs, inspections,
namespaces, artifacts; within a table by ``seq`` or name.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from djed.model.inspection import FINAL
from djed.model.job import Attempt, Job, JobState, NewJob
from djed.model.observation import Failure
from djed.model.principal import DEFAULT_NAMESPACE
from djed.store import fairness, inspections, job_records
from djed.store.database import alone, exclusive
from djed.store.job_records import attempt_of
from djed.store.rows import dump, load, load_json
from djed.store.schema import UNFINISHED_JOBS, attempts, job_uses, jobs
from djed.store.schema import inspections as inspection_table

__all__ = [
    "Started",
    "Turn",
    "adopt",
    "attach",
    "cancel_for",
    "finish",
    "hand_back",
    "hold",
    "recall",
    "remove_unused",
    "renew",
    "retry",
    "start",
]

_UNFINISHED = ("queued", "active")


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """An attempt in our hands until the lease ends. Its row is committed; outside it may or may not be known yet."""

    attempt: Attempt
    token: int
    adopted: bool
    """Another worker began it: look for it outside before starting anything."""
    waited: float = 0.0
    """Seconds from the creation of the job to its start, where it starts now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What decides when a job has its turn, beside the order in its group."""

    lead: int
    rank: int = 0
    priority: int = 0
    namespace: str = DEFAULT_NAMESPACE


def hold(connection: sa.Connection, *, keys: Sequence[str], inspections: Sequence[str]) -> None:
    """Let nobody make, end or change jobs with these keys, nor those of these inspections, before this transaction ends.

    So who attaches to a job that runs is woken by its end. To be done before anything else is written.
    """
    if alone(connection) or not (keys or inspections):
        return
    exclusive(connection, *(f"job:{key}" for key in keys))
    theirs = sa.select(job_uses.c.job).where(job_uses.c.inspection.in_(inspections))
    same = jobs.c.key.in_(keys) & UNFINISHED_JOBS
    connection.execute(_in_order(same | jobs.c.id.in_(theirs)))


def _in_order(which: sa.ColumnElement[bool]) -> sa.Select[tuple[int]]:
    """The jobs, locked one after another."""
    return sa.select(jobs.c.seq).where(which).order_by(jobs.c.seq).with_for_update(key_share=True)


def attach(
    connection: sa.Connection, inspection: str, new: Sequence[NewJob], *, turn: Turn, now: float
) -> None:
    """Give an inspection its jobs, whose keys are held (:func:`hold`)."""
    for item in new:
        shared = None
        if item.key is not None:
            shared = connection.execute(
                sa.select(jobs.c.id).where(jobs.c.key == item.key, UNFINISHED_JOBS)
            ).scalar()
        id_ = shared or secrets.token_hex(6)
        if shared is None:
            connection.execute(sa.insert(jobs).values(**_row(item, id_, turn, now)))
        use = {"inspection": inspection, "role": item.role, "job": id_}
        connection.execute(
            sa.delete(job_uses).where(job_uses.c.inspection == inspection, job_uses.c.role == item.role)
        )
        connection.execute(sa.insert(job_uses).values(use))


def _row(item: NewJob, id_: str, turn: Turn, now: float) -> dict[str, Any]:
    return {
        "id": id_,
        "kind": item.job.kind,
        "key": item.key,
        "serial": item.serial,
        "lead": turn.lead,
        "rank": turn.rank,
        "priority": turn.priority,
        "namespace": turn.namespace,
        "turn": item.turn,
        "state": "queued",
        "spec": dump(item.job),
        "target": item.job.target,
        "node": item.job.node,
        "memory": item.job.limits.memory,
        "created_at": now,
    }


def adopt(
    connection: sa.Connection, *, owner: str, nodes: Sequence[str], now: float, lease: float
) -> list[Started]:
    """Take over attempts on our nodes whose worker let its lease run out."""
    rows = connection.execute(
        sa.select(jobs)
        .where(UNFINISHED_JOBS, jobs.c.state == "active", jobs.c.lease_until <= now, jobs.c.node.in_(nodes))
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        _own(connection, row.id, owner, now + lease)
    return [Started(attempt=attempt_of(row), token=row.token + 1, adopted=True) for row in rows]


def start(
    connection: sa.Connection,
    *,
    owner: str,
    node: str,
    cpus: Sequence[int],
    memory: int | None,
    now: float,
    lease: float,
    limit: int = 64,
) -> list[Started]:
    """Begin attempts of queued jobs, in order, as far as the node's free CPUs and memory and the namespaces' quotas reach.

    The attempt rows are part of the transaction: nothing is started outside before they are committed. A job that does not fit the node now
    is not overtaken, so that large ones do not starve; one whose namespace holds its quota steps aside.
    """
    exclusive(connection, f"node:{node}")  # two workers of a machine must not grant the same CPU
    active = connection.execute(
        sa.select(jobs.c.cpus, jobs.c.memory, jobs.c.serial).where(
            UNFINISHED_JOBS, jobs.c.state == "active", jobs.c.node == node
        )
    ).all()
    taken = {cpu for row in active for cpu in load_json(row.cpus) or ()}
    free = [cpu for cpu in cpus if cpu not in taken]
    left = None if memory is None else memory - sum(row.memory or 0 for row in active)
    serials = {row.serial for row in active if row.serial}
    if not free:
        return []
    allowed = fairness.taking(connection)
    started: list[Started] = []
    for row in _waiting_for(connection, node, allowed, limit):
        if row.serial in serials:
            continue
        wanted = _cpus_wanted(row, len(cpus))
        if wanted > len(free) or (left is not None and (row.memory or 0) > left):
            break
        if row.namespace in allowed and not allowed[row.namespace].take_job(wanted):
            continue
        granted, free = tuple(free[:wanted]), free[wanted:]
        left = None if left is None else left - (row.memory or 0)
        serials.add(row.serial) if row.serial else None
        started.append(_begin(connection, row, granted, owner=owner, until=now + lease, now=now))
    return started


def _waiting_for(
    connection: sa.Connection, node: str, allowed: Mapping[str, fairness.Allowance], limit: int
) -> Sequence[Any]:
    """The queued jobs of a node in order, but for those whose namespace may start nothing now."""
    idle = [name for name, item in allowed.items() if item.idle]
    return connection.execute(
        sa.select(jobs)
        .where(UNFINISHED_JOBS, jobs.c.state == "queued", jobs.c.node == node, jobs.c.namespace.not_in(idle))
        .order_by(jobs.c.priority.desc(), jobs.c.rank, jobs.c.lead, jobs.c.turn, jobs.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def _cpus_wanted(row: Any, all_of_them: int) -> int:
    wanted = json.loads(row.spec).get("limits", {}).get("cpu")
    return all_of_them if wanted is None else min(all_of_them, max(1, -int(-wanted // 1)))


def _begin(
    connection: sa.Connection, row: Any, granted: tuple[int, ...], *, owner: str, until: float, now: float
) -> Started:
    number = row.attempts + 1
    name = f"djed-{row.id}-{number}"
    connection.execute(
        sa.insert(attempts).values(
            name=name,
            job=row.id,
            number=number,
            node=row.node,
            cpus=dump(granted),
            state="started",
            started_at=now,
        )
    )
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == row.id)
        .values(
            state="active",
            attempt=name,
            attempts=number,
            cpus=dump(granted),
            owner=owner,
            lease_until=until,
            token=jobs.c.token + 1,
        )
    )
    spec_ = load(Job, row.spec)
    assert spec_ is not None
    attempt = Attempt(name=name, job_id=row.id, number=number, job=spec_, node=row.node, cpus=granted)
    waited = max(0.0, now - row.created_at)
    return Started(attempt=attempt, token=row.token + 1, adopted=False, waited=waited)


def _own(connection: sa.Connection, id_: str, owner: str, until: float) -> None:
    connection.execute(
        sa.update(jobs).where(jobs.c.id == id_).values(owner=owner, lease_until=until, token=jobs.c.token + 1)
    )


def renew(connection: sa.Connection, owner: str, until: float) -> None:
    """Keep all attempts of a worker."""
    mine = _in_order((jobs.c.owner == owner) & UNFINISHED_JOBS & (jobs.c.state == "active"))
    connection.execute(sa.update(jobs).where(jobs.c.seq.in_(mine)).values(lease_until=until))


def hand_back(connection: sa.Connection, owners: Sequence[str]) -> None:
    """End the leases of workers that stop or are dead; what runs, runs on and is adopted."""
    _let_go(connection, UNFINISHED_JOBS & jobs.c.owner.in_(owners))


def recall(connection: sa.Connection, owner: str, known: Sequence[str]) -> set[str]:
    """The attempts that a worker has after trouble with the store, in which it may have missed what it wrote itself.

    Attempts that are its own without its knowing are let go of, so that somebody adopts them.
    """
    mine = (jobs.c.owner == owner) & UNFINISHED_JOBS & (jobs.c.state == "active")
    _let_go(connection, mine & jobs.c.attempt.not_in(known))
    return set(connection.execute(sa.select(jobs.c.attempt).where(mine)).scalars())


def _let_go(connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    connection.execute(
        sa.update(jobs).where(jobs.c.seq.in_(_in_order(which))).values(owner=None, lease_until=0.0)
    )


def finish(
    connection: sa.Connection,
    started: Started,
    *,
    result: Mapping[str, Any] | None,
    failure: Failure | None,
    state: JobState,
    now: float,
    size: int = 0,
) -> bool:
    """Accept the attempt, end the job and wake who waits for it; ``False``: a late writer, nothing was written.

    ``size``: bytes of what it left and we keep.
    """
    attempt = started.attempt
    done = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == attempt.job_id, jobs.c.token == started.token, jobs.c.state == "active")
        .values(state=state, failure=dump(failure), owner=None, lease_until=0.0, cpus=None)
    )
    if not done.rowcount:
        return False
    connection.execute(
        sa.update(attempts)
        .where(attempts.c.name == attempt.name)
        .values(state="accepted", ended_at=now, result=dump(result))
    )
    _wake_users(connection, attempt.job_id, size=size)
    return True


def _wake_users(connection: sa.Connection, job: str, *, size: int) -> None:
    """Wake who waits for a job, and count what it left for each of them."""
    users = job_records.users(connection, job)
    inspections.wake(connection, users, size=size)
    if size:
        rows = connection.execute(
            sa.select(inspection_table.c.namespace).where(
                inspection_table.c.id.in_(users), inspection_table.c.state.not_in(tuple(FINAL))
            )
        ).scalars()
        for namespace, count in sorted(Counter(rows).items()):
            inspections.keep(connection, namespace, size * count)


def retry(connection: sa.Connection, started: Started, *, now: float) -> bool:
    """Queue the job again after its attempt was lost, unless it is to be cancelled; ``False``: a late writer, nothing was written."""
    attempt = started.attempt
    done = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == attempt.job_id, jobs.c.token == started.token, jobs.c.state == "active")
        .values(
            state=sa.case((jobs.c.cancel_requested, "cancelled"), else_="queued"),
            owner=None,
            lease_until=0.0,
            cpus=None,
        )
    )
    if not done.rowcount:
        return False
    connection.execute(
        sa.update(attempts).where(attempts.c.name == attempt.name).values(state="lost", ended_at=now)
    )
    inspections.wake(connection, job_records.users(connection, attempt.job_id))
    return True


def cancel_for(connection: sa.Connection, inspection: str) -> int:
    """Cancel the unfinished jobs of an inspection: queued ones at once, active ones by their worker; the number of the latter.

    A job that others wait for goes on for them and is no longer one of this inspection.
    """
    mine = sa.select(job_uses.c.job).where(job_uses.c.inspection == inspection)
    shared = sa.select(job_uses.c.job).where(
        job_uses.c.inspection.in_(_waiting()), job_uses.c.inspection != inspection
    )
    unfinished = sa.select(jobs.c.id).where(jobs.c.id.in_(mine), jobs.c.state.in_(_UNFINISHED))
    connection.execute(
        sa.delete(job_uses).where(
            job_uses.c.inspection == inspection, job_uses.c.job.in_(unfinished), job_uses.c.job.in_(shared)
        )
    )
    connection.execute(
        sa.update(jobs).where(jobs.c.id.in_(mine), jobs.c.state == "queued").values(state="cancelled")
    )
    # Without its key: it will make nothing, so whoever wants the same needs a job of their own.
    flagged = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id.in_(mine), jobs.c.state == "active")
        .values(cancel_requested=True, key=None)
    )
    return flagged.rowcount


def _waiting() -> Any:
    return sa.select(inspection_table.c.id).where(
        inspection_table.c.state.not_in(tuple(FINAL)), ~inspection_table.c.cancel_requested
    )


def remove_unused(connection: sa.Connection) -> None:
    """Forget jobs, with their attempts, that no inspection uses and that are over."""
    used = sa.select(job_uses.c.job)
    connection.execute(sa.delete(jobs).where(jobs.c.id.not_in(used), jobs.c.state.not_in(_UNFINISHED)))
