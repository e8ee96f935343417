"""Logs of running attempts, where their job directory lies on another machine than their readers. On the caller's connection."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from djed.store.service_schema import log_chunks as table

__all__ = ["drop", "send", "sent", "shipped"]


def send(connection: sa.Connection, attempt: str, stream: str, *, start: int, data: bytes) -> None:
    """Add what an attempt wrote from the byte ``start`` on."""
    connection.execute(sa.insert(table).values(attempt=attempt, stream=stream, start=start, data=data))


def sent(connection: sa.Connection, attempt: str, stream: str) -> int:
    """Bytes that were sent so far."""
    row = connection.execute(
        sa.select(table.c.start, sa.func.length(table.c.data).label("size"))
        .where(table.c.attempt == attempt, table.c.stream == stream)
        .order_by(table.c.start.desc())
        .limit(1)
    ).one_or_none()
    return 0 if row is None else row.start + row.size


def shipped(connection: sa.Connection, attempt: str, stream: str, *, offset: int, limit: int | None) -> bytes:
    """What was sent from ``offset`` on, at most ``limit`` bytes."""
    rows = connection.execute(
        sa.select(table.c.start, table.c.data)
        .where(
            table.c.attempt == attempt,
            table.c.stream == stream,
            table.c.start + sa.func.length(table.c.data) > offset,
        )
        .order_by(table.c.start)
    )
    found = b""
    for row in rows:
        found += bytes(row.data)[max(0, offset - row.start) :]
        if limit is not None and len(found) >= limit:
            return found[:limit]
    return found


def drop(connection: sa.Connection, attempts: Sequence[str]) -> None:
    """Forget what was sent of attempts that are over: it is in their blobs."""
    connection.execute(sa.delete(table).where(table.c.attempt.in_(attempts)))
