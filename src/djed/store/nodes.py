"""Nodes as their workers tell of them, so that any worker plans for all of them. On the caller's connection."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from djed.model.hardware import Node
from djed.store.database import upsert
from djed.store.rows import dump, load
from djed.store.schema import UNFINISHED_JOBS, jobs
from djed.store.service_schema import nodes as table

__all__ = ["alive", "forget", "load_of", "put", "seen", "silent_places"]


def put(connection: sa.Connection, nodes: Sequence[Node], now: float) -> None:
    """Tell of nodes, in the place of what was told of them before."""
    for node in sorted(nodes, key=lambda node: node.id):
        values = {"id": node.id, "place": node.place, "record": dump(node), "seen_at": now}
        upsert(connection, table, ["id"], values)


def seen(connection: sa.Connection, nodes: Sequence[Node], now: float) -> None:
    """Say that they are still there; those that are not known, or were forgotten meanwhile, are told of."""
    for node in nodes:
        done = connection.execute(sa.update(table).where(table.c.id == node.id).values(seen_at=now))
        if not done.rowcount:
            put(connection, [node], now)


def alive(connection: sa.Connection, since: float) -> list[Node]:
    """The nodes of which something was heard since then."""
    rows = connection.execute(
        sa.select(table.c.record).where(table.c.seen_at >= since).order_by(table.c.id)
    ).scalars()
    return [node for text in rows if (node := load(Node, text)) is not None]


def silent_places(connection: sa.Connection, before: float) -> list[str]:
    """Machines of whose nodes nothing was heard since then."""
    rows = connection.execute(
        sa.select(table.c.place).group_by(table.c.place).having(sa.func.max(table.c.seen_at) < before)
    )
    return list(rows.scalars())


def forget(connection: sa.Connection, place: str) -> None:
    """Forget the nodes of a machine; its workers tell of them again when they come back."""
    connection.execute(sa.delete(table).where(table.c.place == place))


def load_of(connection: sa.Connection, node: str) -> int:
    """Jobs that run on a node or wait for it."""
    return connection.execute(
        sa.select(sa.func.count()).where(UNFINISHED_JOBS, jobs.c.node == node)
    ).scalar_one()
