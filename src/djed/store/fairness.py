"""Whose turn it is among namespaces, and how much each may still take.

Turns: self-clocked fair queueing (S. J. Golestani, INFOCOM 1994). Inspections that are submitted together get the rank
``max(clock, highest rank of the namespace that still waits) + cost / weight``; the clock is the highest rank that was let in. Ranks are
fixed at submission, so the order is an index and not a computation: a namespace that asks for a thousand runs gets a thousand ranks, one
after another, and one that asks for a single run now stands right behind what is being let in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from djed.model.codec import decode
from djed.model.request import Request
from djed.store.database import alone, exclusive
from djed.store.rows import load_json
from djed.store.schema import LET_IN, UNFINISHED, UNFINISHED_JOBS, inspections, jobs
from djed.store.service_schema import namespaces

if TYPE_CHECKING:
    from djed.model.access import Usage

__all__ = ["RANK", "Allowance", "allowances", "cost", "highest_priority", "let_in", "rank", "taking", "usage"]

_UNIT = 1000
"""Rank of one job at weight 1."""


_REACHED = sa.union_all(
    sa.select(sa.func.max(inspections.c.rank).label("rank")).where(
        UNFINISHED, inspections.c.namespace == sa.bindparam("rank_of")
    ),
    sa.select(sa.func.max(namespaces.c.reached)),
).subquery()
_WEIGHT = sa.select(namespaces.c.weight).where(namespaces.c.name == sa.bindparam("rank_of")).scalar_subquery()
# Built once: a submission is a small transaction, of which this would be a large part.
RANK: sa.ColumnElement[int] = sa.select(
    sa.func.coalesce(sa.func.max(_REACHED.c.rank), 0)
    + sa.cast(
        sa.func.round(sa.bindparam("rank_cost") * _UNIT / sa.func.coalesce(_WEIGHT, 1.0)), sa.BigInteger
    )
).scalar_subquery()
"""The rank of what is submitted now, of the parameters ``rank_of`` (the namespace) and ``rank_cost`` (jobs).

Two that are submitted in the same moment may get the same; that harms nobody.
"""


def cost(requests: Iterable[Request]) -> int:
    """What a group asks for, in jobs: each of its runs and one for the environment."""
    return sum(1 + (item.run.warmup + item.run.repeat if item.run else 0) for item in requests)


def rank(connection: sa.Connection, namespace: str, jobs_asked: int) -> int:
    """The rank of a group that is submitted now."""
    return int(
        connection.execute(sa.select(RANK), {"rank_of": namespace, "rank_cost": jobs_asked}).scalar_one()
    )


def highest_priority(connection: sa.Connection, namespace: str) -> int:
    """The highest priority that requests of a namespace may ask for."""
    from djed.model.access import Namespace

    found = connection.execute(
        sa.select(namespaces.c.priority).where(namespaces.c.name == namespace)
    ).scalar_one_or_none()
    return Namespace(name=namespace).priority if found is None else found


def let_in(connection: sa.Connection, ranks: Iterable[tuple[str, int]]) -> None:
    """Move the clock: inspections of these namespaces and ranks were let in."""
    highest: dict[str, int] = {}
    for namespace, value in ranks:
        highest[namespace] = max(value, highest.get(namespace, 0))
    for namespace in sorted(highest):  # in one order, so that two workers never wait for each other
        connection.execute(
            sa.update(namespaces)
            .where(namespaces.c.name == namespace, namespaces.c.reached < highest[namespace])
            .values(reached=highest[namespace])
        )


@dataclass(slots=True)
class Allowance:
    """What a namespace may still take; ``None``: as much as there is. Counted down while a batch is handed out."""

    queued: int | None = None
    """Inspections that may be let in."""
    running: int | None = None
    """Attempts that may start."""
    cpu: float | None = None
    """CPUs they may hold."""

    @property
    def shut(self) -> bool:
        """Whether no inspection may be let in."""
        return self.queued is not None and self.queued <= 0

    @property
    def idle(self) -> bool:
        """Whether no attempt may start."""
        return (self.running is not None and self.running <= 0) or (self.cpu is not None and self.cpu <= 0)

    def take_job(self, cpus: int) -> bool:
        """Take room for an attempt, if there is any."""
        if self.idle or (self.cpu is not None and cpus > self.cpu):
            return False
        self.running = None if self.running is None else self.running - 1
        self.cpu = None if self.cpu is None else self.cpu - cpus
        return True

    def take_inspection(self) -> bool:
        """Take room for an inspection, if there is any."""
        if self.shut:
            return False
        self.queued = None if self.queued is None else self.queued - 1
        return True


def allowances(connection: sa.Connection) -> dict[str, Allowance]:
    """The allowance of each namespace that has a quota."""
    rows = connection.execute(
        sa.select(namespaces.c.name, namespaces.c.quota, namespaces.c.storage).where(
            namespaces.c.quota.is_not(None)
        )
    ).all()
    if not rows:
        return {}
    from djed.model.access import Quota

    names = [row.name for row in rows]
    inside, active = _inside(connection, names), _active(connection, names)
    found = {}
    for row in rows:
        quota, (running, cpus) = decode(Quota, load_json(row.quota)), active.get(row.name, (0, 0))
        full = quota.storage is not None and row.storage >= quota.storage
        found[row.name] = Allowance(
            queued=0 if full else _left(quota.queued, inside.get(row.name, 0)),
            running=_left(quota.running, running),
            cpu=_left(quota.cpu, cpus),
        )
    return found


def taking(connection: sa.Connection) -> dict[str, Allowance]:
    """The allowances, for one who takes of them: nobody else takes before this transaction ends."""
    found = allowances(connection)
    if not found or alone(connection):
        return found
    exclusive(connection, "quotas")
    return allowances(connection)


def usage(connection: sa.Connection, namespace: str) -> Usage:
    """What a namespace holds, and which of its quotas are used up."""
    from djed.model.access import Quota, Usage

    row = connection.execute(
        sa.select(namespaces.c.quota, namespaces.c.storage).where(namespaces.c.name == namespace)
    ).one_or_none()
    quota = decode(Quota, load_json(row.quota) or {}) if row else Quota()
    storage = row.storage if row else 0
    working = _inside(connection, [namespace]).get(namespace, 0)
    running, cpus = _active(connection, [namespace]).get(namespace, (0, 0))
    waiting = connection.execute(
        sa.select(sa.func.count())
        .select_from(inspections)
        .where(UNFINISHED, inspections.c.namespace == namespace)
        .with_hint(inspections, "INDEXED BY inspections_unfinished", "sqlite")  # of several it takes another
    ).scalar_one()
    held = {"queued": working, "running": running, "cpu": cpus, "storage": storage}
    full = tuple(
        name for name, value in held.items() if (bound := getattr(quota, name)) is not None and value >= bound
    )
    return Usage(
        queued=waiting - working, working=working, running=running, cpu=cpus, storage=storage, full=full
    )


def _left(bound: Any, held: Any) -> Any:
    return None if bound is None else max(0, bound - held)


def _inside(connection: sa.Connection, names: Sequence[str]) -> dict[str, int]:
    """Inspections in work by namespace."""
    rows = connection.execute(
        sa.select(inspections.c.namespace, sa.func.count())
        .where(LET_IN, inspections.c.namespace.in_(names))
        .group_by(inspections.c.namespace)
    )
    return {row[0]: row[1] for row in rows}


def _active(connection: sa.Connection, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Active attempts and the CPUs they hold, by namespace."""
    found: dict[str, tuple[int, int]] = {}
    for row in connection.execute(
        sa.select(jobs.c.namespace, jobs.c.cpus).where(
            UNFINISHED_JOBS, jobs.c.state == "active", jobs.c.namespace.in_(names)
        )
    ):
        attempts, cpus = found.get(row.namespace, (0, 0))
        found[row.namespace] = (attempts + 1, cpus + len(load_json(row.cpus) or ()))
    return found
