"""What can be read of the output of a job: while it runs here, while it runs on another machine, and after its end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from djed.errors import NotFoundError
from djed.store.logs import shipped
from djed.store.rows import load_json
from djed.store.schema import attempts, jobs

if TYPE_CHECKING:
    from djed.store.store import Store

__all__ = ["STREAMS", "JobLog", "look", "open_live", "read", "size"]

STREAMS = ("stdout", "stderr")
_UNFINISHED = ("queued", "active")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLog:
    """The log of a job: that of its current or its accepted attempt. Each attempt begins a new one."""

    job: str
    attempt: str | None = None
    """Name of the attempt; ``None`` before the first."""
    number: int = 0
    """Which attempt, from 1."""
    over: bool
    """Whether nothing more will come."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Digest of each stream, where it is over and left something."""


def look(connection: sa.Connection, job: str) -> JobLog:
    """The log of a job as it stands; of a job that was removed an empty one that is over."""
    row = connection.execute(
        sa.select(jobs.c.state, jobs.c.attempt, jobs.c.attempts, attempts.c.result)
        .outerjoin(attempts, attempts.c.name == jobs.c.attempt)
        .where(jobs.c.id == job)
    ).one_or_none()
    if row is None:
        return JobLog(job=job, over=True)
    over = row.state not in _UNFINISHED
    report = (load_json(row.result) or {}) if over else {}
    kept = {stream: report.get(f"{stream}_digest") for stream in STREAMS}
    return JobLog(
        job=job,
        attempt=row.attempt,
        number=row.attempts,
        over=over,
        kept={stream: digest for stream, digest in kept.items() if digest},
    )


def size(store: Store, log: JobLog, stream: str) -> int:
    """Bytes kept of a log that is over; 0 where there are none, or none any more."""
    with suppress(NotFoundError, FileNotFoundError):
        return store.blobs.path(log.kept[stream]).stat().st_size if stream in log.kept else 0
    return 0


def open_live(store: Store, attempt: str, stream: str) -> int | None:
    """A descriptor of what an attempt on this machine writes; ``None`` where there is no such file (yet)."""
    with suppress(FileNotFoundError):
        return os.open(store.attempts / attempt / stream, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    return None


def read(store: Store, log: JobLog, stream: str, *, offset: int, limit: int) -> bytes:
    """At most ``limit`` bytes of just this attempt's log, as far as it is there. Raises ``StoreError``."""
    if log.attempt is None:
        return b""
    if log.over:
        descriptor = _open_kept(store, log.kept[stream]) if stream in log.kept else None
    else:
        descriptor = open_live(store, log.attempt, stream)
    if descriptor is not None:
        try:
            return os.pread(descriptor, limit, offset)
        finally:
            os.close(descriptor)
    if log.over:
        return b""
    with store.database.read() as connection:
        return shipped(connection, log.attempt, stream, offset=offset, limit=limit)


def _open_kept(store: Store, digest: str) -> int | None:
    with suppress(NotFoundError, FileNotFoundError):
        return os.open(store.blobs.path(digest), os.O_RDONLY | os.O_CLOEXEC)
    return None
