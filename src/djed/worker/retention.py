"""What is kept: final inspections go, the oldest first, where their namespace has more, older or larger ones than it keeps."""

from __future__ import annotations

import time
from dataclasses import replace

import sqlalchemy as sa

from djed.config import Config
from djed.errors import ConflictError, NotFoundError
from djed.model.access import Namespace, Retention
from djed.model.principal import DEFAULT_NAMESPACE
from djed.store import access, inspections, jobs
from djed.store.schema import inspections as table
from djed.store.store import Store

__all__ = ["retain"]

_BATCH = 100
"""Inspections that are removed in one transaction: nobody waits long for it."""
_FINAL = ("done", "refused", "cancelled")


def retain(store: Store, config: Config) -> int:
    """Remove what is beyond the retention of each namespace; how many inspections."""
    with store.database.read() as connection:
        known = {item.name: item for item in access.list_namespaces(connection)}
    known.setdefault(DEFAULT_NAMESPACE, Namespace(name=DEFAULT_NAMESPACE))
    return sum(_retain(store, name, _policy(item.retention, config)) for name, item in known.items())


def _policy(own: Retention, config: Config) -> Retention:
    """The bounds of a namespace; where it has none of its own, those of the settings."""
    return replace(
        own,
        age=own.age if own.age is not None else config.retention_age,
        count=own.count if own.count is not None else config.retention_count,
        size=own.size if own.size is not None else config.retention_size,
    )


def _retain(store: Store, namespace: str, policy: Retention) -> int:
    removed = 0
    while ids := _beyond(store, namespace, policy):
        with store.change() as connection:
            done = sum(_remove(connection, id_) for id_ in ids)
            jobs.remove_unused(connection)
        removed += done
        if not done:
            break
    return removed


def _remove(connection: sa.Connection, id_: str) -> bool:
    try:
        inspections.remove(connection, id_)
    except (ConflictError, NotFoundError):  # somebody else removed it
        return False
    return True


def _beyond(store: Store, namespace: str, policy: Retention) -> list[str]:
    """The oldest final inspections that are too old, too many or too large; at most a batch of them."""
    final = (table.c.namespace == namespace, table.c.state.in_(_FINAL))
    oldest = sa.select(table.c.id, table.c.size, table.c.updated_at).where(*final).order_by(table.c.seq)
    with store.database.read() as connection:
        count, size = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(table.c.size), 0)).where(*final)
        ).one()
        too_many = 0 if policy.count is None else count - policy.count
        too_large = 0 if policy.size is None else size - policy.size
        before = None if policy.age is None else time.time() - policy.age
        chosen = []
        for row in connection.execute(oldest.limit(_BATCH)):
            if too_many <= 0 and too_large <= 0 and (before is None or row.updated_at >= before):
                break
            chosen.append(row.id)
            too_many, too_large = too_many - 1, too_large - row.size
    return chosen
