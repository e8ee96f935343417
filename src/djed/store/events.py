"""What happened, in order: the timeline of an inspection and the stream that followers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from djed.model.inspection import Event
from djed.store.rows import dump, load_json
from djed.store.schema import events as table

__all__ = ["add", "after", "remove"]


def add(connection: sa.Connection, new: Sequence[tuple[str, str, Mapping[str, Any], float]]) -> None:
    """Append events: inspection, kind, data, time."""
    if new:
        connection.execute(
            sa.insert(table),
            [
                {"inspection": item, "kind": kind, "data": dump(data), "at": at}
                for item, kind, data, at in new
            ],
        )


def after(
    connection: sa.Connection, inspections: Sequence[str], seq: int, *, limit: int = 1000
) -> list[Event]:
    """The events of these inspections behind ``seq``, in order."""
    rows = connection.execute(
        sa.select(table)
        .where(table.c.inspection.in_(inspections), table.c.seq > seq)
        .order_by(table.c.seq)
        .limit(limit)
    )
    return [
        Event(seq=row.seq, inspection=row.inspection, kind=row.kind, data=load_json(row.data), at=row.at)
        for row in rows
    ]


def remove(connection: sa.Connection, inspection: str) -> None:
    """Forget the events of an inspection."""
    connection.execute(sa.delete(table).where(table.c.inspection == inspection))
