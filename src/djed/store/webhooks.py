"""Webhooks and what they were told. Each function takes the connection of the caller's transaction.

A webhook reads the events of its namespace behind a *position* of its own. Of several servers one tells it: the one that holds its lease.
That is given only to who knows the position, and what an attempt came to is written only while it is held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from djed.errors import ConflictError, NotFoundError
from djed.model.inspection import Event
from djed.model.summary import Summary
from djed.model.webhook import Delivery, Webhook
from djed.store import events, inspection_rows
from djed.store.rows import dump, load_json
from djed.store.schema import inspections
from djed.store.service_schema import deliveries as delivery_table
from djed.store.service_schema import webhooks as table

__all__ = [
    "Line",
    "Step",
    "Trouble",
    "add",
    "claim",
    "deliveries",
    "lines",
    "next_event",
    "release",
    "remove",
    "settle",
    "trouble",
    "webhooks",
]

_MOST = 20
"""Webhooks of a namespace."""
_KEPT = 1000
"""Deliveries that are remembered of a webhook."""


# What the namespace sees


def add(connection: sa.Connection, webhook: Webhook, *, namespace: str, sealed: str) -> None:
    """Keep a new one, which is told what happens from now on. Raises ``ConflictError`` where the namespace has too many."""
    held = connection.execute(
        sa.select(sa.func.count()).select_from(table).where(table.c.namespace == namespace)
    ).scalar_one()
    if held >= _MOST:
        raise ConflictError(
            f"The namespace {namespace} has {held} webhooks, and that is the most.", hint="Remove one first."
        )
    connection.execute(
        sa.insert(table).values(
            id=webhook.id,
            namespace=namespace,
            url=webhook.url,
            events=dump(webhook.events),
            secret=sealed,
            created_at=webhook.created_at,
            position=events.latest(connection),
        )
    )


def webhooks(connection: sa.Connection, namespace: str) -> list[Webhook]:
    """Those of a namespace, in order of creation."""
    rows = connection.execute(
        sa.select(table).where(table.c.namespace == namespace).order_by(table.c.created_at, table.c.id)
    )
    return [
        Webhook(
            id=row.id,
            url=row.url,
            events=tuple(load_json(row.events)),
            active=row.active,
            created_at=row.created_at,
            failures=row.failures,
            due=row.due,
            last_error=row.last_error,
        )
        for row in rows
    ]


def remove(connection: sa.Connection, namespace: str, id_: str) -> None:
    """Forget one and what it was told. Raises ``NotFoundError``."""
    gone = connection.execute(sa.delete(table).where(table.c.id == id_, table.c.namespace == namespace))
    if not gone.rowcount:
        raise _unknown(id_)


def deliveries(connection: sa.Connection, namespace: str, id_: str, *, limit: int) -> list[Delivery]:
    """What it was told last and what was given up, newest first. Raises ``NotFoundError``."""
    known = sa.select(table.c.id).where(table.c.id == id_, table.c.namespace == namespace)
    if connection.execute(known).first() is None:
        raise _unknown(id_)
    rows = connection.execute(
        sa.select(delivery_table)
        .where(delivery_table.c.webhook == id_)
        .order_by(delivery_table.c.seq.desc())
        .limit(limit)
    )
    return [
        Delivery(
            webhook=id_,
            position=row.position,
            inspection=row.inspection,
            kind=row.kind,
            state=row.state,
            attempts=row.attempts,
            status=row.status,
            error=row.error,
            at=row.at,
        )
        for row in rows
    ]


def _unknown(id_: str) -> NotFoundError:
    return NotFoundError(f"There is no webhook {id_[:50]!r}.")


# What the dispatcher does


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What is to be known of an active webhook to tell it something."""

    id: str
    namespace: str
    url: str
    kinds: tuple[str, ...]
    secret: str
    """Sealed."""
    position: str
    """Of the last event that was told, given up or known to be none of its kinds."""
    failures: int
    free_at: float
    """Unix time before which nothing is to be done: the next attempt is not due, or another server tells it; 0: now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What an attempt came to."""

    delivery: Delivery | None
    """What to remember of the event, where it is done with: delivered or given up."""
    position: str
    """From where to go on."""
    failures: int = 0
    error: str | None = None
    due: float | None = None
    """When to try again, where the event is not done with."""
    active: bool = True
    until: float = 0.0
    """Unix time until which the lease is kept, for the next event; 0: it is given back."""


class Trouble(NamedTuple):
    """How webhooks fare, for the metrics."""

    active: int
    failing: int
    """Active ones whose last attempt failed."""
    gone: int
    """Those that said that they are to be told nothing more."""
    untold: float | None
    """Unix time of the oldest event that is still to be told to one of them."""


def lines(connection: sa.Connection, *, owner: str) -> list[Line]:
    """Every active webhook."""
    rows = connection.execute(sa.select(table).where(table.c.active).order_by(table.c.id))
    return [
        Line(
            id=row.id,
            namespace=row.namespace,
            url=row.url,
            kinds=tuple(load_json(row.events)),
            secret=row.secret,
            position=row.position,
            failures=row.failures,
            free_at=max(row.due or 0.0, row.lease_until if row.owner not in {None, owner} else 0.0, 0.0),
        )
        for row in rows
    ]


def next_event(
    connection: sa.Connection, line: Line, *, limit: int = 500
) -> tuple[Event, Summary | None] | str:
    """The first event of its kinds behind its position, with its inspection in short; else the position up to which there is none."""
    found = events.since(connection, line.position, namespace=line.namespace, limit=limit)
    for event in found:
        if not line.kinds or event.kind in line.kinds:
            query = sa.select(*inspection_rows.SUMMARY).where(inspections.c.id == event.inspection)
            row = connection.execute(query).one_or_none()
            return event, None if row is None else inspection_rows.summary(row)
    return found[-1].position if found else line.position


def claim(connection: sa.Connection, line: Line, *, owner: str, now: float, until: float) -> bool:
    """Take the lease of a webhook. False where another has it, or changed anything since it was looked at."""
    free = sa.or_(table.c.owner.is_(None), table.c.owner == owner, table.c.lease_until <= now)
    same = table.c.position == line.position, table.c.failures == line.failures
    taken = connection.execute(
        sa.update(table)
        .where(table.c.id == line.id, table.c.active, free, *same)
        .values(owner=owner, lease_until=until)
    )
    return bool(taken.rowcount)


def settle(connection: sa.Connection, line: Line, step: Step, *, owner: str, now: float) -> bool:
    """Write what an attempt came to. False, and nothing is written, where the lease is not ours any more."""
    values: dict[str, Any] = {
        "position": step.position,
        "failures": step.failures,
        "last_error": step.error,
        "due": step.due,
        "active": step.active,
        "failing_since": sa.func.coalesce(table.c.failing_since, now) if step.error else None,
        "owner": owner if step.until else None,
        "lease_until": step.until,
    }
    mine = table.c.id == line.id, table.c.owner == owner
    if not connection.execute(sa.update(table).where(*mine).values(values)).rowcount:
        return False
    if step.delivery is not None:
        _remember(connection, step.delivery)
    return True


def release(connection: sa.Connection, line: Line, position: str, *, owner: str) -> None:
    """Give the lease back; up to that position there is nothing more to tell."""
    mine = table.c.id == line.id, table.c.owner == owner
    connection.execute(sa.update(table).where(*mine).values(position=position, owner=None, lease_until=0.0))


def _remember(connection: sa.Connection, delivery: Delivery) -> None:
    mine = delivery_table.c.webhook == delivery.webhook
    connection.execute(
        sa.insert(delivery_table).values(
            webhook=delivery.webhook,
            position=delivery.position,
            inspection=delivery.inspection,
            kind=delivery.kind,
            state=delivery.state,
            attempts=delivery.attempts,
            status=delivery.status,
            error=delivery.error,
            at=delivery.at,
        )
    )
    oldest = sa.select(delivery_table.c.seq).where(mine).order_by(delivery_table.c.seq.desc()).offset(_KEPT)
    connection.execute(
        sa.delete(delivery_table).where(mine, delivery_table.c.seq <= oldest.limit(1).scalar_subquery())
    )


def trouble(connection: sa.Connection) -> Trouble:
    """How they fare."""
    failing = sa.and_(table.c.active, table.c.failing_since.is_not(None))
    row = connection.execute(
        sa.select(
            sa.func.count().filter(table.c.active),
            sa.func.count().filter(failing),
            sa.func.count().filter(sa.not_(table.c.active)),
        ).select_from(table)
    ).one()
    found = (next_event(connection, line) for line in lines(connection, owner=""))
    untold = min((item[0].at for item in found if not isinstance(item, str)), default=None)
    return Trouble(*row, untold=untold)
