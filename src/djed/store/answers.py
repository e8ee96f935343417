"""What was asked before and may be asked again: idempotency keys, and the files that a namespace uploaded. On the caller's connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from djed.errors import ConflictError
from djed.store import inspections
from djed.store.rows import dump, load_json
from djed.store.service_schema import idempotency, uploads

__all__ = ["drop_old", "has_upload", "missing_uploads", "put_upload", "take_key"]


def take_key(
    connection: sa.Connection, namespace: str, key: str, *, digest: str, ids: Sequence[str], now: float
) -> Sequence[str] | None:
    """Let the key stand for these inspections, which are about to be added; those it stands for already, else ``None``.

    Raises ``ConflictError`` where it stands for another request.
    """
    # Whoever comes second waits here until the first has committed, and then finds its row.
    done = connection.execute(
        sa.text(
            "INSERT INTO idempotency (namespace, key, digest, inspections, created_at)"
            " VALUES (:namespace, :key, :digest, :inspections, :now) ON CONFLICT DO NOTHING"
        ),
        {"namespace": namespace, "key": key, "digest": digest, "inspections": dump(ids), "now": now},
    )
    if done.rowcount:
        return None
    row = connection.execute(
        sa.select(idempotency.c.digest, idempotency.c.inspections).where(
            idempotency.c.namespace == namespace, idempotency.c.key == key
        )
    ).one()
    if row.digest != digest:
        raise ConflictError(
            "The idempotency key was used for another request.", hint="Use a new key for each new request."
        )
    return [str(id_) for id_ in load_json(row.inspections)]


def put_upload(connection: sa.Connection, namespace: str, digest: str, *, size: int, now: float) -> None:
    """Remember that a namespace has shown this content, and may name it by its digest."""
    done = connection.execute(
        sa.text(
            "INSERT INTO uploads (namespace, digest, size, created_at)"
            " VALUES (:namespace, :digest, :size, :now) ON CONFLICT DO NOTHING"
        ),
        {"namespace": namespace, "digest": digest, "size": size, "now": now},
    )
    if done.rowcount:
        inspections.keep(connection, namespace, size)
    else:
        connection.execute(
            sa.update(uploads)
            .where(uploads.c.namespace == namespace, uploads.c.digest == digest)
            .values(created_at=now)
        )


def has_upload(connection: sa.Connection, namespace: str, digest: str) -> bool:
    """Whether a namespace has shown that content."""
    return not missing_uploads(connection, namespace, [digest])


def missing_uploads(connection: sa.Connection, namespace: str, digests: Iterable[str]) -> list[str]:
    """Those of the digests whose content the namespace never showed."""
    wanted = list(dict.fromkeys(digests))
    if not wanted:
        return []
    known = set(
        connection.execute(
            sa.select(uploads.c.digest).where(uploads.c.namespace == namespace, uploads.c.digest.in_(wanted))
        ).scalars()
    )
    return [digest for digest in wanted if digest not in known]


def drop_old(connection: sa.Connection, *, keys_before: float, uploads_before: float) -> None:
    """Forget keys and uploads of before. A file that an inspection uses stays all the same: as the inspection's."""
    connection.execute(sa.delete(idempotency).where(idempotency.c.created_at < keys_before))
    old = connection.execute(
        sa.select(uploads.c.namespace, sa.func.sum(uploads.c.size).label("size"))
        .where(uploads.c.created_at < uploads_before)
        .group_by(uploads.c.namespace)
        .order_by(uploads.c.namespace)
    ).all()
    connection.execute(sa.delete(uploads).where(uploads.c.created_at < uploads_before))
    for row in old:
        inspections.keep(connection, row.namespace, -int(row.size))
