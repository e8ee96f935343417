"""The API: one inspection, lists of a million, durable submissions, and one key asked a thousand times at once."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import httpx2

from benchmarks.bar import Row, place
from benchmarks.serving import SECONDS, hello, serving, wrk
from djed.config import load
from djed.model.quantity import format_duration
from djed.store.store import Store

GET, SUBMIT, LIST = 2000.0, 300.0, 0.020
INSPECTIONS = 1_000_000
CALLS = 60
SAME = 1000
REQUEST = {"name": "nothing", "run": {"command": ["true"]}}


def measure() -> Iterator[Row]:
    """Four rows."""
    with place() as folder:
        yield _get(folder)
        yield _submit(folder)
        yield _same(folder)
        yield _lists(folder)


def _get(folder: Path) -> Row:
    with serving(folder / "get", work=True) as server, hello() as greeting:
        with server.client() as client:
            path = client.post("/v1/inspections", json=REQUEST).headers["location"]
            client.get(path, params={"wait": 60}).raise_for_status()
        bare = wrk(greeting, {})
        own = wrk(server.url + path, server.headers)
    return Row(
        what="API: GET one inspection, server and worker on one core, 16 connections",
        bar=f"≥ {GET:,.0f}/s",
        measured=f"{own:,.0f}/s",
        beside=f"bare FastAPI saying hello on that core {bare:,.0f}/s ({bare / own:.2g} x)",
        holds=own >= GET,
    )


def _submit(folder: Path) -> Row:
    script = folder / "submit.lua"
    body = json.dumps(REQUEST).replace('"', '\\"')
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = "{body}"\nwrk.headers["Content-Type"] = "application/json"\n'
    )
    with serving(folder / "submit") as server:
        rate = wrk(f"{server.url}/v1/inspections", server.headers, "-s", str(script))
        with server.client() as client:
            kept = client.get("/v1/usage").json()["queued"]
    return Row(
        what="API: submissions, each a call of its own, durable (SQLite, synchronous=FULL)",
        bar=f"≥ {SUBMIT:,.0f}/s",
        measured=f"{rate:,.0f}/s",
        beside=f"{kept:,} were there afterwards",
        holds=rate >= SUBMIT and kept >= rate * SECONDS,
    )


def _same(folder: Path) -> Row:
    with serving(folder / "same") as server, ThreadPoolExecutor(100) as threads, server.client() as client:
        headers = {"Idempotency-Key": "the same"}

        def ask(_: int) -> str:
            answer = client.post("/v1/inspections", json=REQUEST, headers=headers)
            return str(answer.json().get("id", answer.status_code))

        made = set(threads.map(ask, range(SAME)))
        kept = client.get("/v1/usage").json()["queued"]
    return Row(
        what=f"API: {SAME:,} submissions with one idempotency key, 100 at a time",
        bar="1 inspection",
        measured=f"{kept} inspection{'s' * (kept != 1)}, {len(made)} answer{'s' * (len(made) != 1)}",
        holds=kept == 1 and len(made) == 1,
    )


def _lists(folder: Path) -> Row:
    data = folder / "lists"
    middle = _fill(data)
    kinds = {
        "first page": {},
        "page in the middle": {"after": json.dumps([middle]).encode().hex()},
        "of a state": {"state": "running"},
        "of an outcome": {"state": "failed"},
        "of a name": {"name": "listed-7"},
        "by name": {"sort": "name"},
    }
    with serving(data) as server, server.client() as client:
        client.get("/v1/inspections")
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(CALLS):  # in turn, so that a bad moment of the machine hits all of them
            for kind, query in kinds.items():
                address = "/v1/inspections?" + urlencode({"limit": 100, **query})
                times[kind].append(_seconds(client, address))
    medians = {kind: statistics.median(each) for kind, each in times.items()}
    worst = {kind: statistics.quantiles(each, n=20)[-1] for kind, each in times.items()}
    slowest = max(medians, key=medians.__getitem__)
    return Row(
        what=f"API: list of 100 out of {INSPECTIONS:,}, p50 of the slowest of {len(kinds)} kinds",
        bar=f"≤ {format_duration(LIST)}",
        measured=f"{format_duration(medians[slowest])} ({slowest})",
        beside=", ".join(
            f"{kind} {format_duration(medians[kind])} (p95 {format_duration(worst[kind])})" for kind in kinds
        ),
        holds=medians[slowest] <= LIST,
    )


def _seconds(client: httpx2.Client, address: str) -> float:
    start = time.perf_counter()
    answer = client.get(address)
    seconds = time.perf_counter() - start
    if len(answer.json()["items"]) != 100:
        raise RuntimeError(f"{address} answered {answer.text[:200]}")
    return seconds


def _fill(data: Path) -> int:
    """A million inspections by one statement; the number of the one in the middle."""
    store = Store.open(load({"data": str(data)}, environ={}))
    with store.change() as connection:
        connection.exec_driver_sql(
            """
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO inspections (
              id, name, lead, state, outcome, request, request_digest, repeats, created_at, updated_at, metric, node
            )
            SELECT printf('%012x', i * 2654435761 % 281474976710656), 'listed-' || (i % 1000), i,
                   CASE WHEN i % 1000 = 0 THEN 'running' ELSE 'done' END,
                   CASE WHEN i % 1000 = 0 THEN NULL WHEN i % 50 = 0 THEN 'failed' ELSE 'succeeded' END,
                   '{"name":"listed"}', 'digest', 5, 1.7e9 + i, 1.7e9 + i + 12.5, '1.23s ±2.0%', 'local/node'
            FROM n
            """,
            (INSPECTIONS,),
        )
    store.close()
    return INSPECTIONS // 2
