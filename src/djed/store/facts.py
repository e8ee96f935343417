"""Locks, artifacts and observations: what is known and used again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from djed.errors import UnreadableError
from djed.model.artifact import Artifact
from djed.model.inspection import Inspection
from djed.model.lock import Lock
from djed.model.observation import Observation
from djed.model.summary import Page, StoredArtifact, StoredObservation
from djed.store.database import upsert
from djed.store.rows import dump, load, load_json
from djed.store.schema import artifact_uses, artifacts, inspections, locks, observations

__all__ = [
    "add_artifact",
    "add_lock",
    "add_observations",
    "drop_artifact",
    "drop_old_locks",
    "find_artifact",
    "find_lock",
    "keep_artifacts",
    "page_artifacts",
    "page_observations",
    "unused_artifacts",
    "use_artifacts",
    "uses_artifact",
]

_CURSOR = re.compile(r"([0-9]{1,12}\.[0-9]{1,9})_(sha256:[0-9a-f]{64})")


def add_lock(connection: sa.Connection, key: str, lock: Lock, now: float) -> None:
    """Keep a lock as the answer to the question ``key``."""
    upsert(connection, locks, ["key"], {"key": key, "record": dump(lock), "created_at": now})


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


def add_artifact(connection: sa.Connection, artifact: Artifact, now: float, *, place: str = "") -> None:
    """Keep an artifact of a machine; the newest of a digest counts."""
    values = {
        "digest": artifact.digest,
        "place": place,
        "kind": artifact.kind,
        "record": dump(artifact),
        "size": artifact.size,
        "created_at": now,
        "used_at": now,
    }
    upsert(connection, artifacts, ["digest", "place"], values)


def find_artifact(connection: sa.Connection, digest: str, *, place: str | None = None) -> Artifact | None:
    """The artifact of that digest, on that machine or on any."""
    query = sa.select(artifacts.c.record).where(artifacts.c.digest == digest)
    if place is not None:
        query = query.where(artifacts.c.place == place)
    return load(Artifact, connection.execute(query.limit(1)).scalar())


def page_artifacts(
    connection: sa.Connection, namespace: str, *, limit: int, after: str | None
) -> Page[StoredArtifact]:
    """The artifacts that inspections of a namespace use, newest first. Raises ``UnreadableError`` for what is no cursor."""
    theirs = inspections.c.namespace == namespace
    used = sa.union(
        sa.select(inspections.c.artifact).where(theirs, inspections.c.artifact.is_not(None)),
        sa.select(artifact_uses.c.artifact).where(
            artifact_uses.c.inspection.in_(sa.select(inspections.c.id).where(theirs))
        ),
    )
    query = (
        sa.select(artifacts)
        .where(artifacts.c.digest.in_(used))
        .order_by(artifacts.c.created_at.desc(), artifacts.c.digest)
    )
    if after is not None:
        moment, digest = _after(after)
        same = (artifacts.c.created_at == moment) & (artifacts.c.digest > digest)
        query = query.where((artifacts.c.created_at < moment) | same)
    rows = connection.execute(query.limit(limit + 1)).all()
    users = _users(connection, namespace, [row.digest for row in rows])
    items = [
        StoredArtifact(
            digest=row.digest,
            kind=row.kind,
            size=row.size,
            created_at=row.created_at,
            used_at=row.used_at,
            packages=len(load_json(row.record).get("contents", ())),
            inspections=users.get(row.digest, (0, None))[0],
            inspection=users.get(row.digest, (0, None))[1],
        )
        for row in rows[:limit]
    ]
    return Page(
        items=items, next=f"{items[-1].created_at!r}_{items[-1].digest}" if len(rows) > limit else None
    )


def _users(
    connection: sa.Connection, namespace: str, digests: Sequence[str]
) -> dict[str, tuple[int, str | None]]:
    """How many inspections of a namespace use each artifact, and the name of the newest of them."""
    theirs = inspections.c.namespace == namespace
    uses = sa.union_all(
        sa.select(inspections.c.artifact.label("artifact"), inspections.c.seq.label("seq")).where(
            theirs, inspections.c.artifact.in_(digests)
        ),
        sa.select(artifact_uses.c.artifact, inspections.c.seq)
        .join(inspections, inspections.c.id == artifact_uses.c.inspection)
        .where(theirs, artifact_uses.c.artifact.in_(digests)),
    ).subquery()
    number, newest = sa.func.count(uses.c.seq.distinct()), sa.func.max(uses.c.seq)
    counted = sa.select(uses.c.artifact, number.label("number"), newest.label("newest")).group_by(
        uses.c.artifact
    )
    found = counted.subquery()
    query = sa.select(found.c.artifact, found.c.number, inspections.c.name)
    rows = connection.execute(query.join(inspections, inspections.c.seq == found.c.newest))
    return {row.artifact: (row.number, row.name) for row in rows}


def _after(cursor: str) -> tuple[float, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise UnreadableError("The cursor is not one of this list.", hint="Take it from the page before.")
    return float(match[1]), match[2]


def uses_artifact(connection: sa.Connection, namespace: str, digest: str) -> bool:
    """Whether an inspection of the namespace uses the artifact."""
    theirs = inspections.c.namespace == namespace
    environment = sa.select(inspections.c.seq).where(inspections.c.artifact == digest, theirs)
    other = sa.select(inspections.c.seq).where(
        inspections.c.id.in_(sa.select(artifact_uses.c.inspection).where(artifact_uses.c.artifact == digest)),
        theirs,
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in (environment, other))


def use_artifacts(connection: sa.Connection, digests: Iterable[str], now: float, *, place: str = "") -> None:
    """Remember when they were last used, which is what a clean-up goes by."""
    used = [
        {"used": digest} for digest in sorted(set(digests))
    ]  # in one order, so that nobody waits in a circle
    if used:
        statement = sa.update(artifacts).where(
            artifacts.c.digest == sa.bindparam("used"), artifacts.c.place == place
        )
        connection.execute(statement.values(used_at=now), used)


def keep_artifacts(connection: sa.Connection, inspection: str, digests: Sequence[str]) -> None:
    """Remember that an inspection uses these artifacts beside its environment, so that no clean-up takes them."""
    if not digests:
        return
    known = connection.execute(
        sa.select(artifact_uses.c.artifact).where(artifact_uses.c.inspection == inspection)
    )
    new = set(digests).difference(known.scalars())
    if new:
        connection.execute(
            sa.insert(artifact_uses),
            [{"inspection": inspection, "artifact": digest} for digest in sorted(new)],
        )


def drop_artifact(connection: sa.Connection, digest: str, *, place: str = "") -> None:
    """Forget an artifact, so that it is built anew when it is asked for."""
    connection.execute(sa.delete(artifacts).where(artifacts.c.digest == digest, artifacts.c.place == place))


def unused_artifacts(connection: sa.Connection, before: float, *, place: str = "") -> list[Artifact]:
    """Artifacts of a machine, last used before that time, that no unfinished inspection needs."""
    unfinished = inspections.c.state.not_in(("done", "refused", "cancelled"))
    needed = sa.union(
        sa.select(inspections.c.artifact).where(inspections.c.artifact.is_not(None), unfinished),
        sa.select(artifact_uses.c.artifact).where(
            artifact_uses.c.inspection.in_(sa.select(inspections.c.id).where(unfinished))
        ),
    )
    rows = connection.execute(
        sa.select(artifacts.c.record).where(
            artifacts.c.used_at < before, artifacts.c.place == place, artifacts.c.digest.not_in(needed)
        )
    )
    return [artifact for text in rows.scalars() if (artifact := load(Artifact, text)) is not None]


def add_observations(
    connection: sa.Connection, inspection: Inspection, new: Sequence[Observation], now: float
) -> None:
    """Keep observations of an inspection."""
    if new:
        connection.execute(
            sa.insert(observations),
            [
                {
                    "inspection": inspection.id,
                    "namespace": inspection.namespace,
                    "kind": item.kind,
                    "subject": dump(item.subject),
                    "value": dump(item.value),
                    "created_at": now,
                }
                for item in new
            ],
        )


def page_observations(
    connection: sa.Connection,
    *,
    namespace: str | None = None,
    inspection: str | None = None,
    kind: str | None = None,
    limit: int = 1000,
    after: str | None = None,
) -> Page[StoredObservation]:
    """Observations, newest first. Raises ``UnreadableError`` for what is no cursor."""
    query = sa.select(observations).order_by(observations.c.seq.desc()).limit(limit + 1)
    for column, value in (
        (observations.c.namespace, namespace),
        (observations.c.inspection, inspection),
        (observations.c.kind, kind),
    ):
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        query = query.where(observations.c.seq < _number(after))
    rows = connection.execute(query).all()
    items = [
        StoredObservation(
            seq=row.seq,
            inspection=row.inspection,
            kind=row.kind,
            subject=load_json(row.subject),
            value=load_json(row.value),
            created_at=row.created_at,
        )
        for row in rows[:limit]
    ]
    return Page(items=items, next=str(items[-1].seq) if len(rows) > limit else None)


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 18:
        raise UnreadableError("The cursor is not one of this list.", hint="Take it from the page before.")
    return int(cursor)
