"""What happened, in order: the timeline of an inspection and the stream that followers read.

Followers read on behind a position, so nothing may become visible before it. SQLite lets one transaction write at a time: there the
order of ``seq`` is the order of commits. PostgreSQL hands out sequence numbers before the commit, so a smaller number may become visible
after a larger one. There each event carries its transaction (``xact``), the order is (``xact``, ``seq``), and only the events of
transactions older than every one still running are told: none can come before them any more
(https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from djed.errors import UnreadableError
from djed.model.inspection import Event
from djed.store.rows import dump, load_json
from djed.store.schema import events as table

__all__ = ["NewEvent", "add", "after", "held_back", "latest", "remove", "since"]

_POSITION = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})")
_LARGEST = 2**63 - 1
_NOBODY = ""
# Text in between: the transaction numbers of PostgreSQL are unsigned and have no way to a number of their own.
_THIS: sa.ColumnElement[int] = sa.literal_column("pg_current_xact_id()::text::bigint", sa.BigInteger)
_OLDEST: sa.ColumnElement[int] = sa.literal_column(
    "pg_snapshot_xmin(pg_current_snapshot())::text::bigint", sa.BigInteger
)
_NEXT: sa.ColumnElement[int] = sa.literal_column(
    "pg_snapshot_xmax(pg_current_snapshot())::text::bigint", sa.BigInteger
)


_INSERT = sa.insert(table).inline()
_INSERT_NUMBERED = _INSERT.values(xact=_THIS)

NewEvent = tuple[str, str, Mapping[str, Any], float, str]
"""Inspection, kind, data, time, namespace."""


def add(connection: sa.Connection, new: Sequence[NewEvent]) -> None:
    """Append events."""
    if not new:
        return
    rows = [
        {"inspection": inspection, "kind": kind, "data": dump(data), "at": at, "namespace": namespace}
        for inspection, kind, data, at, namespace in new
    ]
    connection.execute(_INSERT_NUMBERED if _numbered(connection) else _INSERT, rows)


def after(
    connection: sa.Connection, inspections: Sequence[str], position: str, *, limit: int = 1000
) -> list[Event]:
    """The events of these inspections behind a position (``""``: from the beginning), in order. Raises ``UnreadableError``."""
    return _read(connection, position, table.c.inspection.in_(inspections), limit)


def since(
    connection: sa.Connection, position: str, *, namespace: str | None = None, limit: int = 1000
) -> list[Event]:
    """The events of a namespace, or of all, behind a position, in order. Raises ``UnreadableError``."""
    return _read(
        connection, position, sa.true() if namespace is None else table.c.namespace == namespace, limit
    )


def latest(connection: sa.Connection) -> str:
    """The position of the newest event that is told: behind it comes what happens from now on."""
    query = sa.select(table.c.xact, table.c.seq).limit(1)
    if _numbered(connection):
        query = query.where(table.c.xact < _OLDEST).order_by(table.c.xact.desc(), table.c.seq.desc())
    else:
        query = query.order_by(table.c.seq.desc())
    row = connection.execute(query).one_or_none()
    return "0.0" if row is None else f"{row.xact}.{row.seq}"


def held_back(connection: sa.Connection) -> bool:
    """Whether events are committed that are not told yet, because an older transaction still writes: look again soon."""
    if not _numbered(connection):
        return False
    return (
        connection.execute(sa.select(table.c.seq).where(table.c.xact >= _OLDEST).limit(1)).first() is not None
    )


def remove(connection: sa.Connection, inspection: str) -> None:
    """Forget the events of an inspection.

    If the newest of all is among them, its empty row stays until the next time: SQLite would give its number again, to an event that
    followers would then take for one they were told.
    """
    mine = table.c.inspection.in_([inspection, _NOBODY])
    newest = sa.select(sa.func.max(table.c.seq)).scalar_subquery()
    connection.execute(sa.delete(table).where(mine, table.c.seq < newest))
    connection.execute(
        sa.update(table).where(mine).values(inspection=_NOBODY, namespace=_NOBODY, kind="removed", data="{}")
    )


def _numbered(connection: sa.Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _read(connection: sa.Connection, position: str, which: sa.ColumnElement[bool], limit: int) -> list[Event]:
    xact, seq = _parse(position)
    query = sa.select(table).where(which).limit(limit)
    if _numbered(connection):
        # A transaction of the future is one of a cluster of which this one is a restored copy: there all events got 0.
        known = sa.case((sa.literal(xact) < _NEXT, sa.literal(xact)), else_=0)
        query = query.where(
            sa.tuple_(table.c.xact, table.c.seq) > sa.tuple_(known, sa.literal(seq)),
            table.c.xact < _OLDEST,
        ).order_by(table.c.xact, table.c.seq)
    else:
        query = query.where(table.c.seq > seq).order_by(table.c.seq)
    return [
        Event(
            seq=row.seq,
            inspection=row.inspection,
            kind=row.kind,
            data=load_json(row.data),
            at=row.at,
            namespace=row.namespace,
            xact=row.xact,
        )
        for row in connection.execute(query)
    ]


def _parse(position: str) -> tuple[int, int]:
    if not position:
        return 0, 0
    found = _POSITION.fullmatch(position)
    xact, seq = (int(found[1]), int(found[2])) if found else (0, _LARGEST + 1)
    if max(xact, seq) > _LARGEST:
        raise UnreadableError(
            f"{position[:50]!r} is not a position of an event.",
            hint="Take it as it came with an event, or leave it out to begin at the first.",
        )
    return xact, seq
