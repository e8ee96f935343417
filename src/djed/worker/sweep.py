"""Clean-up: old inspections if asked, then all that nothing needs any more."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from djed.config import Config
from djed.errors import DjedError
from djed.model.artifact import Artifact
from djed.model.summary import Collected
from djed.run import container, docker_image, engines
from djed.store import facts, inspections, jobs, lookup
from djed.store.schema import UNFINISHED_JOBS, attempts
from djed.store.schema import inspections as inspection_table
from djed.store.schema import jobs as job_table
from djed.store.service_schema import uploads
from djed.store.store import Store
from djed.toolbox.fs import disk_use, remove_tree

__all__ = ["sweep"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FRESH = 3600.0
"""Seconds for which a blob or artifact without a user is kept: someone may be about to use it."""


def sweep(store: Store, config: Config, *, older_than: float | None, dry_run: bool) -> Collected:
    """Remove final inspections older than ``older_than`` seconds, then artifacts, blobs, locks and job directories without a user."""
    now = time.time()
    store.spend_reserve()
    # Listed before the rows are read: what is begun from now on is not in the list.
    present = [*store.attempts.glob("djed-*"), *(store.packages / "staging").glob("djed-*")]
    with store.change() as connection:
        savepoint = connection.begin_nested()
        gone = _forget(connection, store, config, older_than=older_than, now=now)
        blobs = _unused_blobs(connection, store, now) if dry_run else {}
        if dry_run:
            savepoint.rollback()
    if not dry_run:
        # Not under the lock of the writer, for it reads all there is: what has come since is young, and stays.
        with store.database.read() as connection:
            blobs = _unused_blobs(connection, store, now)
    leftovers = [path for path in present if path.name not in gone.active]
    size = sum(blobs.values()) + sum(item.size for item in gone.artifacts) + sum(map(disk_use, leftovers))
    if not dry_run:
        for digest in blobs:
            store.blobs.remove(digest)
        _forget_images(store, config, gone.artifacts)
        for artifact in gone.artifacts:
            store.discard_artifact(artifact)
        for path in leftovers:
            remove_tree(path)
    store.keep_reserve()
    return Collected(
        inspections=gone.inspections,
        artifacts=len(gone.artifacts),
        blobs=len(blobs),
        attempts=len(leftovers),
        locks=gone.locks,
        size=size,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gone:
    """What was taken out of the database, and the attempts that go on."""

    inspections: int
    artifacts: Sequence[Artifact]
    locks: int
    active: frozenset[str]


def _forget(
    connection: sa.Connection, store: Store, config: Config, *, older_than: float | None, now: float
) -> _Gone:
    old = [] if older_than is None else lookup.older(connection, now - older_than)
    for id_ in old:
        inspections.remove(connection, id_)
    jobs.remove_unused(connection)
    locks = facts.drop_old_locks(connection, now - config.locks_max_age)
    artifacts = facts.unused_artifacts(connection, now - _FRESH, place=store.place)
    for artifact in artifacts:
        facts.drop_artifact(connection, artifact.digest, place=store.place)
    active = connection.execute(
        sa.select(job_table.c.attempt).where(UNFINISHED_JOBS, job_table.c.state == "active")
    ).scalars()
    return _Gone(inspections=len(old), artifacts=artifacts, locks=locks, active=frozenset(active))


def _forget_images(store: Store, config: Config, artifacts: Sequence[Artifact]) -> None:
    """Docker has an image of its own of each that it ran."""
    images = [store.artifact_path(artifact) for artifact in artifacts if artifact.image is not None]
    docker = next((one for one in engines.remembered(config.data) or () if one.name == "docker"), None)
    if docker is None:
        return
    for layout in images:
        with suppress(DjedError):  # nobody can say what it was called, or the engine is away
            docker_image.forget(
                docker, docker_image.image_digest(layout), container.environment(docker, os.environ)
            )


def _unused_blobs(connection: sa.Connection, store: Store, now: float) -> dict[str, int]:
    """Size by digest of the blobs that are not young and that nothing names."""
    unused = {digest: size for digest, size, changed in store.blobs.all() if changed < now - _FRESH}
    for digest in _used_blobs(connection) if unused else ():
        unused.pop(digest, None)
    return unused


def _used_blobs(connection: sa.Connection) -> Iterator[str]:
    """Digests that requests and results name, and those of uploads that wait for a request."""
    for column in (inspection_table.c.request, attempts.c.result, job_table.c.spec, uploads.c.digest):
        query = sa.select(column).where(column.is_not(None)).execution_options(yield_per=1000)
        for text in connection.execute(query).scalars():
            yield from _DIGEST.findall(text)
