"""Workers, and what they counted. Each function takes the connection of the caller's transaction.

A worker keeps its counters in its row. What one that is gone had counted is added to the row of those before it, so that no sum over all
rows ever falls.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from djed import __version__
from djed.store.database import exclusive, upsert
from djed.store.service_schema import workers as table

__all__ = ["alive", "beat", "counted", "fold", "fold_silent", "register"]

_PAST = "past"
"""Name of the row of all who are gone; workers have longer ones."""

Merge = Callable[[Sequence[str]], str]
"""Adds up counters."""


def register(connection: sa.Connection, name: str, *, place: str, now: float) -> None:
    """Tell of a worker of this process."""
    connection.execute(
        sa.insert(table).values(
            name=name,
            place=place,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started_at=now,
            seen_at=now,
        )
    )


def beat(connection: sa.Connection, name: str, *, now: float, counters: str) -> bool:
    """Say that a worker is alive and what it counted. False where it was taken for dead: what it counted is with the past already."""
    mine = sa.update(table).where(table.c.name == name).values(seen_at=now, counters=counters)
    return bool(connection.execute(mine).rowcount)


def fold(connection: sa.Connection, names: Sequence[str], merge: Merge) -> None:
    """Keep what workers counted that are gone, and forget them. The last thing of a transaction: it lets one pass at a time."""
    _fold(connection, table.c.name.in_(names), merge)


def fold_silent(connection: sa.Connection, before: float, merge: Merge) -> None:
    """The same for those of whom nothing was heard since then."""
    silent = table.c.seen_at < before, table.c.name != _PAST
    if connection.execute(sa.select(table.c.name).where(*silent).limit(1)).first() is not None:
        _fold(connection, sa.and_(*silent), merge)


def _fold(connection: sa.Connection, gone: sa.ColumnElement[bool], merge: Merge) -> None:
    exclusive(connection, "workers")
    counted_ = list(connection.execute(sa.delete(table).where(gone).returning(table.c.counters)).scalars())
    if not counted_:
        return
    past = connection.execute(sa.select(table.c.counters).where(table.c.name == _PAST)).scalars()
    values = {
        "name": _PAST,
        "place": "",
        "host": "",
        "pid": 0,
        "version": "",
        "started_at": 0.0,
        "seen_at": 0.0,
        "counters": merge([text for text in (*past, *counted_) if text]),
    }
    upsert(connection, table, ["name"], values)


def counted(connection: sa.Connection) -> list[str]:
    """The counters of all workers, past ones too."""
    return list(
        connection.execute(sa.select(table.c.counters).where(table.c.counters.is_not(None))).scalars()
    )


def alive(connection: sa.Connection, since: float) -> int:
    """How many workers were heard of since then."""
    query = sa.select(sa.func.count()).where(table.c.seen_at >= since, table.c.name != _PAST)
    return int(connection.execute(query).scalar_one())
