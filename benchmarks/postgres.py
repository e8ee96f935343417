"""The queue on PostgreSQL: two-step jobs that do nothing, four workers, and a server that crashes every five seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bar import NotMeasuredError, Row, place
from djed.testing.restart_loop import restart_loop, submitters, wait_until_done, workers
from tests.support.postgres import Cluster, cluster, find_programs

WORKERS = 4
SUBMITTERS = 2
THREADS = 4
EACH = 1500
JOBS = SUBMITTERS * THREADS * EACH
BAR = 1000.0
RESTARTS = int(os.environ.get("RESTARTS", "12"))


def measure() -> Iterator[Row]:
    """Two rows: how many a second, from the first submission to the last end; and what is left of them in a bad minute."""
    if find_programs() is None:
        raise NotMeasuredError("PostgreSQL is not on this machine (Debian: apt-get install postgresql)")
    with place() as folder, cluster() as server:
        bare = _bare(server)
        rate = _rate(folder / "rate", server)
        yield Row(
            what=f"queue: two-step no-op jobs on PostgreSQL, {WORKERS} workers, each submitted by itself",
            bar=f"≥ {BAR:,.0f}/s",
            measured=f"{rate:,.0f}/s",
            beside=f"bare PostgreSQL, three commits a job, {THREADS} connections {bare:,.0f}/s ({bare / rate:.2g} x)",
            holds=rate >= BAR,
        )
        yield _crashes(folder / "crashes", server)


def _rate(data: Path, server: Cluster) -> float:
    url = server.url(server.create_store(), socket_=True)
    with (
        workers(data, url, count=WORKERS),
        submitters(data, url, processes=SUBMITTERS, threads=THREADS, count=EACH) as accepted,
    ):
        start = time.perf_counter()
        wait_until_done(data, url, count=JOBS, seconds=120)
        seconds = time.perf_counter() - start
    return len(accepted) / seconds


def _crashes(data: Path, server: Cluster) -> Row:
    def restart() -> None:
        server.stop("immediate")
        server.start()

    url = server.url(server.create_store(), socket_=True)
    report = restart_loop(data, url, restart=restart, restarts=RESTARTS)
    rate = report.accepted / report.seconds
    return Row(
        what="the same, while the server is stopped at once (`-m immediate`) and started again every 5 s for a minute",
        bar="0 lost, 0 stuck, 0 done twice",
        measured=(
            f"{report.restarts} restarts, {report.accepted} accepted ({rate:,.0f}/s): {report.lost} lost, {report.stuck} stuck, "
            f"{report.done_twice} done twice"
        ),
        beside=f"{report.unknown} more accepted whose answer was lost with the connection",
        holds=report.clean and report.restarts >= 12,
    )


def _bare(server: Cluster) -> float:
    """Three commits a job (add, take, end) by the driver alone: the floor of this machine."""
    import psycopg

    name = server.create()
    server.execute("CREATE TABLE job (id bigserial PRIMARY KEY, state text)", database=name)

    def work(_number: int) -> None:
        with psycopg.connect(server.url(name, socket_=True), autocommit=True) as connection:
            for _ in range(JOBS // THREADS):
                row = connection.execute("INSERT INTO job (state) VALUES ('queued') RETURNING id").fetchone()
                connection.execute("UPDATE job SET state = 'active' WHERE id = %s", row)
                connection.execute("UPDATE job SET state = 'done' WHERE id = %s", row)

    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    return JOBS / (time.perf_counter() - start)
