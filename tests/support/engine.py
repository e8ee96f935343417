"""What tests of the store and the worker start from."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from djed.model.inspection import Inspection
from djed.model.job import Job, Limits, NewJob
from djed.model.request import Request
from djed.store import inspections, jobs
from djed.store.store import Store

NODE = "local/fake"


def inspection(**request: object) -> Inspection:
    """A queued inspection."""
    now = time.time()
    wanted = Request(**request)  # type: ignore[arg-type]
    return Inspection(
        id=secrets.token_hex(6),
        name=wanted.name,
        state="queued",
        request=wanted,
        created_at=now,
        updated_at=now,
    )


def add(store: Store, *new: Inspection) -> list[str]:
    """Put inspections of one group into the store."""
    with store.change() as connection:
        inspections.add(connection, new, digests=["digest"] * len(new))
    return [item.id for item in new]


def job(
    role: str = "run:0",
    *,
    key: str | None = None,
    cpu: float | None = 1,
    serial: str | None = None,
    turn: int = 0,
) -> NewJob:
    """A job of one command on the one node."""
    spec = Job(kind="run", command=("true",), limits=Limits(cpu=cpu), node=NODE)
    return NewJob(role=role, job=spec, key=key, serial=serial, turn=turn)


def attach(store: Store, inspection_: str, *new: NewJob, lead: int = 1) -> None:
    """Give an inspection jobs."""
    with store.change() as connection:
        jobs.hold(connection, keys=[item.key for item in new if item.key], inspections=[])
        jobs.attach(connection, inspection_, new, turn=jobs.Turn(lead=lead), now=time.time())


def start(
    store: Store, *, owner: str = "a", cpus: Sequence[int] = (0, 1), now: float = 1000.0, lease: float = 10.0
) -> list[jobs.Started]:
    """Start what has room."""
    with store.change() as connection:
        return jobs.start(connection, owner=owner, node=NODE, cpus=cpus, memory=None, now=now, lease=lease)


def claim(
    store: Store, *, owner: str = "a", now: float = 1000.0, lease: float = 10.0, limit: int = 100
) -> list[inspections.Claimed]:
    """Claim what is due."""
    with store.change() as connection:
        return inspections.claim(connection, owner=owner, now=now, lease=lease, limit=limit)
