"""The queue: two-step jobs that do nothing, durable (synchronous=FULL), beside a bare SQLite queue on the same disk."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bar import Row, place
from djed.config import load
from djed.model.inspection import Inspection, JobRecord
from djed.model.quantity import format_duration
from djed.model.request import Request
from djed.pipeline import Context, Move
from djed.store import lookup
from djed.store.store import Store
from djed.testing.restart_loop import submit
from djed.toolbox.sqlite import sqlite_driver
from djed.worker import Worker
from djed.worker.context import StoreContext

JOBS = 3000
BAR = 1000.0
PACED = 300
PACE = 0.004
LATENCY = 0.020
REQUEST = Request(name="nothing")


def measure() -> Iterator[Row]:
    """Two rows: how many a second, from the first submission to the last end, and how soon one starts."""
    with place() as folder:
        bare = _bare(folder / "bare.sqlite")
        rate = _rate(folder / "rate")
        latency = _latency(folder / "latency")
    yield Row(
        what="queue: two-step no-op jobs on SQLite, synchronous=FULL, each submitted by itself",
        bar=f"≥ {BAR:,.0f}/s",
        measured=f"{rate:,.0f}/s",
        beside=f"bare SQLite, three commits a job, one thread {bare:,.0f}/s ({bare / rate:.2g} x)",
        holds=rate >= BAR,
    )
    yield Row(
        what=f"queue: submission to start, p50, at {1 / PACE:.0f} submissions/s",
        bar=f"≤ {format_duration(LATENCY)}",
        measured=format_duration(latency),
        holds=latency <= LATENCY,
    )


def _rate(data: Path) -> float:
    with _working(data) as (store, _):
        start = time.perf_counter()
        ids = [submit(store) for _ in range(JOBS)]
        _wait(store, ids)
        return JOBS / (time.perf_counter() - start)


def _latency(data: Path) -> float:
    with _working(data) as (store, started):
        submitted = {}
        for _ in range(PACED):
            submitted[submit(store)] = time.perf_counter()
            time.sleep(PACE)
        _wait(store, list(submitted))
        return statistics.median(started[id_] - submitted[id_] for id_ in submitted)


@contextmanager
def _working(data: Path) -> Iterator[tuple[Store, dict[str, float]]]:
    """A worker whose flow is two steps that do nothing; the times of the first step."""
    started: dict[str, float] = {}

    def first(inspection: Inspection, _jobs: Sequence[JobRecord], _context: Context) -> Move:
        started.setdefault(inspection.id, time.perf_counter())
        return Move(changes={"state": "running"})

    def second(_inspection: Inspection, _jobs: Sequence[JobRecord], _context: Context) -> Move:
        return Move(changes={"state": "done", "outcome": "succeeded"})

    config = load({"data": str(data)}, environ={})
    store = Store(config.data)
    worker = Worker(
        store, {}, StoreContext(store, config, (), {}), config, flow={"queued": first, "running": second}
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield store, started
    finally:
        worker.stop()
        thread.join()
        store.close()


def _wait(store: Store, ids: Sequence[str]) -> None:
    """Until all are over; they end nearly in order, so the last ones are asked for."""
    while True:
        with store.database.read() as connection:
            if not lookup.unfinished(connection, ids[-500:]):
                return
        time.sleep(0.002)


def _bare(file: Path) -> float:
    """Three commits a job (add, take, end) by the driver alone: the floor of this disk."""
    connection = sqlite_driver().connect(str(file), isolation_level=None)
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "CREATE TABLE job (id INTEGER PRIMARY KEY, state TEXT)",
    ):
        connection.execute(statement)
    start = time.perf_counter()
    for number in range(JOBS):
        connection.execute("INSERT INTO job VALUES (?, 'queued')", (number,))
        connection.execute("UPDATE job SET state = 'active' WHERE id = ?", (number,))
        connection.execute("UPDATE job SET state = 'done' WHERE id = ?", (number,))
    seconds = time.perf_counter() - start
    connection.close()
    return JOBS / seconds
