"""Locks, artifacts and observations: what is known and used again."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from djed.model.artifact import Artifact
from djed.model.lock import Lock
from djed.model.observation import Observation
from djed.model.summary import StoredObservation
from djed.store.rows import dump, load, load_json
from djed.store.schema import artifacts, inspections, locks, observations

__all__ = [
    "add_artifact",
    "add_lock",
    "add_observations",
    "drop_artifact",
    "drop_old_locks",
    "find_artifact",
    "find_lock",
    "list_observations",
    "unused_artifacts",
    "use_artifact",
]


def add_lock(connection: sa.Connection, key: str, lock: Lock, now: float) -> None:
    """Keep a lock as the answer to the question ``key``."""
    connection.execute(sa.delete(locks).where(locks.c.key == key))
    connection.execute(sa.insert(locks).values(key=key, record=dump(lock), created_at=now))


def find_lock(connection: sa.Connection, key: str) -> tuple[Lock, float] | None:
    """The lock that answered ``key``, and when."""
    row = connection.execute(
        sa.select(locks.c.record, locks.c.created_at).where(locks.c.key == key)
    ).one_or_none()
    lock = load(Lock, row.record) if row else None
    return (lock, row.created_at) if row and lock else None


def drop_old_locks(connection: sa.Connection, before: float) -> int:
    """Forget locks made before that time."""
    return connection.execute(sa.delete(locks).where(locks.c.created_at < before)).rowcount


def add_artifact(connection: sa.Connection, artifact: Artifact, now: float) -> None:
    """Keep an artifact; the newest of a digest counts."""
    connection.execute(sa.delete(artifacts).where(artifacts.c.digest == artifact.digest))
    connection.execute(
        sa.insert(artifacts).values(
            digest=artifact.digest,
            kind=artifact.kind,
            record=dump(artifact),
            size=artifact.size,
            created_at=now,
            used_at=now,
        )
    )


def find_artifact(connection: sa.Connection, digest: str) -> Artifact | None:
    """The artifact of that digest."""
    return load(
        Artifact,
        connection.execute(sa.select(artifacts.c.record).where(artifacts.c.digest == digest)).scalar(),
    )


def use_artifact(connection: sa.Connection, digest: str, now: float) -> None:
    """Remember when it was last used, which is what a clean-up goes by."""
    connection.execute(sa.update(artifacts).where(artifacts.c.digest == digest).values(used_at=now))


def drop_artifact(connection: sa.Connection, digest: str) -> None:
    """Forget an artifact, so that it is built anew when it is asked for."""
    connection.execute(sa.delete(artifacts).where(artifacts.c.digest == digest))


def unused_artifacts(connection: sa.Connection, before: float) -> list[Artifact]:
    """Artifacts last used before that time that no unfinished inspection needs."""
    needed = sa.select(inspections.c.artifact).where(
        inspections.c.artifact.is_not(None), inspections.c.state.not_in(("done", "refused", "cancelled"))
    )
    rows = connection.execute(
        sa.select(artifacts.c.record).where(artifacts.c.used_at < before, artifacts.c.digest.not_in(needed))
    )
    return [artifact for text in rows.scalars() if (artifact := load(Artifact, text)) is not None]


def add_observations(
    connection: sa.Connection, inspection: str, new: Sequence[Observation], now: float
) -> None:
    """Keep observations of an inspection."""
    if new:
        connection.execute(
            sa.insert(observations),
            [
                {
                    "inspection": inspection,
                    "kind": item.kind,
                    "subject": dump(item.subject),
                    "value": dump(item.value),
                    "created_at": now,
                }
                for item in new
            ],
        )


def list_observations(
    connection: sa.Connection, *, inspection: str | None = None, kind: str | None = None, limit: int = 1000
) -> list[StoredObservation]:
    """Observations, newest first."""
    query = sa.select(observations).order_by(observations.c.seq.desc()).limit(limit)
    if inspection is not None:
        query = query.where(observations.c.inspection == inspection)
    if kind is not None:
        query = query.where(observations.c.kind == kind)
    return [
        StoredObservation(
            seq=row.seq,
            inspection=row.inspection,
            kind=row.kind,
            subject=load_json(row.subject),
            value=load_json(row.value),
            created_at=row.created_at,
        )
        for row in connection.execute(query)
    ]
