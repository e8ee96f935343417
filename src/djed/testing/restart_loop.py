"""The restart loop: a database that many processes use goes away again and again; afterwards every promise is counted.

The flow is two steps that do nothing, so that the store is what is worked. Workers and submitters are processes of their own.
"""

from __future__ import annotations

import multiprocessing
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event as Flag
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from djed.config import Config, load
from djed.errors import StoreError
from djed.model.inspection import Inspection, JobRecord
from djed.model.request import Request
from djed.pipeline import Context, Move
from djed.store import inspections
from djed.store.schema import UNFINISHED, events
from djed.store.schema import inspections as table
from djed.store.store import Store
from djed.worker import Worker
from djed.worker.context import StoreContext

__all__ = ["RestartReport", "restart_loop", "submit", "submitters", "wait_until_done", "workers"]

_SPAWN = multiprocessing.get_context("spawn")
_BEGIN = 60.0
_REQUEST = Request(name="nothing")


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartReport:
    """What the loop counted."""

    restarts: int
    accepted: int
    """Submissions that returned."""
    unknown: int
    """Inspections whose submission failed, but which were accepted: the answer was lost with the connection."""
    lost: int
    """Accepted inspections that are not in the store any more, or did not succeed."""
    stuck: int
    """Inspections that were not final when the workers had had their time."""
    done_twice: int
    """Inspections with more than one end, or that took a step more than once."""
    integrity: str
    """What the database says of itself."""
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.stuck or self.done_twice) and self.integrity == "ok"


def restart_loop(
    data: Path, url: str, *, restart: Callable[[], None], restarts: int, every: float = 5.0
) -> RestartReport:
    """Restart so often, ``every`` seconds after the last, while inspections are submitted; then let the workers finish, and count."""
    start = time.monotonic()
    with workers(data, url, count=4):
        with submitters(data, url, processes=2) as told:
            for _ in range(restarts):
                time.sleep(every)
                restart()
        accepted = set(told)
        wait_until_done(data, url, seconds=60)
        return _count(data, url, accepted, restarts=restarts, start=start)


@contextmanager
def workers(data: Path, url: str, *, count: int) -> Iterator[None]:
    """So many worker processes meanwhile."""
    stop = _SPAWN.Event()
    ready = _SPAWN.Semaphore(0)
    with _processes(_work, (str(data), url, stop, ready), count):
        _await(ready, count)
        try:
            yield
        finally:
            stop.set()


@contextmanager
def submitters(
    data: Path, url: str, *, processes: int, threads: int = 4, count: int | None = None
) -> Iterator[list[str]]:
    """Processes that submit until this is left, or each thread ``count`` inspections. The list holds, then, the accepted ids."""
    plan = _Submitting(data=str(data), url=url, threads=threads, count=count)
    accepted: list[str] = []
    with _processes(_submit, (plan,), processes):
        _await(plan.ready, processes)
        plan.go.set()
        try:
            yield accepted
        finally:
            if count is None:
                plan.stop.set()
            for _ in range(processes):
                accepted += plan.answers.get()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Submitting:
    """What a submitting process is told."""

    data: str
    url: str
    threads: int
    count: int | None
    stop: Flag = field(default_factory=_SPAWN.Event)
    go: Flag = field(default_factory=_SPAWN.Event)
    ready: Semaphore = field(default_factory=lambda: _SPAWN.Semaphore(0))
    answers: SimpleQueue[list[str]] = field(default_factory=_SPAWN.SimpleQueue)


def _await(ready: Semaphore, count: int) -> None:
    """Until so many processes have begun. Raises ``RuntimeError`` where they do not."""
    for _ in range(count):
        if not ready.acquire(timeout=_BEGIN):
            raise RuntimeError(f"A process of the loop did not begin within {_BEGIN:g} s.")


@contextmanager
def _processes(target: Callable[..., None], arguments: Sequence[Any], count: int) -> Iterator[None]:
    started = [_SPAWN.Process(target=target, args=tuple(arguments), daemon=True) for _ in range(count)]
    with ExitStack() as stack:
        for process in started:
            process.start()
            stack.callback(process.join, 30)
        yield


def submit(store: Store) -> str:
    """Accept one inspection; its id. Raises ``StoreError``."""
    now = time.time()
    new = Inspection(
        id=secrets.token_hex(6),
        name="nothing",
        state="queued",
        request=_REQUEST,
        created_at=now,
        updated_at=now,
    )
    with store.change() as connection:
        inspections.add(connection, [new], digests=["nothing"], cost=1)
    return new.id


def wait_until_done(data: Path, url: str, *, seconds: float, count: int = 0) -> None:
    """Until there are so many inspections and none is unfinished, or for so long."""
    deadline = time.monotonic() + seconds
    there = sa.select(sa.func.count()).select_from(table)
    store = Store(data, url=url)
    try:
        while time.monotonic() < deadline:
            with store.database.read() as connection:
                unfinished = connection.execute(sa.select(table.c.seq).where(UNFINISHED).limit(1)).first()
                if unfinished is None and connection.execute(there).scalar_one() >= count:
                    return
            time.sleep(0.02)
    finally:
        store.close()


def _first(_inspection: Inspection, _jobs: Sequence[JobRecord], _context: Context) -> Move:
    return Move(changes={"state": "running"})


def _second(_inspection: Inspection, _jobs: Sequence[JobRecord], _context: Context) -> Move:
    return Move(changes={"state": "done", "outcome": "succeeded"})


def _config(data: str, url: str) -> Config:
    return load({"data": data, "store": url}, environ={})


def _work(data: str, url: str, stop: Flag, ready: Semaphore) -> None:
    config = _config(data, url)
    store = Store.open(config)
    worker = Worker(
        store, {}, StoreContext(store, config, (), {}), config, flow={"queued": _first, "running": _second}
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    ready.release()
    stop.wait()
    worker.stop()
    thread.join()
    store.close()


def _submit(plan: _Submitting) -> None:
    accepted: list[str] = []
    store = Store(Path(plan.data), url=plan.url)
    store.listen()  # as a server does

    def go_on() -> None:
        left = plan.count
        while not plan.stop.is_set() and left != 0:
            try:
                accepted.append(submit(store))
            except StoreError as error:
                if not error.transient:
                    raise
                time.sleep(0.1)
            else:
                left = None if left is None else left - 1

    each = [threading.Thread(target=go_on) for _ in range(plan.threads)]
    plan.ready.release()
    plan.go.wait()
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()
    plan.answers.put(accepted)
    store.close()


def _count(data: Path, url: str, accepted: set[str], *, restarts: int, start: float) -> RestartReport:
    store = Store(data, url=url)
    try:
        with store.database.read() as connection:
            rows = {
                row.id: row
                for row in connection.execute(sa.select(table.c.id, table.c.state, table.c.outcome))
            }
            steps = Counter(
                (row.inspection, row.kind, row.data)
                for row in connection.execute(
                    sa.select(events.c.inspection, events.c.kind, events.c.data).where(
                        events.c.kind == "state"
                    )
                )
            )
            ends = Counter(
                connection.execute(sa.select(events.c.inspection).where(events.c.kind == "done")).scalars()
            )
        return RestartReport(
            restarts=restarts,
            accepted=len(accepted),
            unknown=len(rows.keys() - accepted),
            lost=sum(id_ not in rows or rows[id_].outcome != "succeeded" for id_ in accepted),
            stuck=sum(row.state != "done" for row in rows.values()),
            done_twice=sum(count != 1 for count in (*steps.values(), *(ends[id_] for id_ in rows))),
            integrity=store.database.integrity(),
            seconds=time.monotonic() - start,
        )
    finally:
        store.close()
