"""Followers: how soon they hear of a line or an event, and what the server needs for them."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bar import Row, place
from benchmarks.serving import Server, serving
from djed.config import load
from djed.intake.submission import Submission
from djed.model.principal import DEFAULT_NAMESPACE
from djed.model.quantity import format_duration, format_size
from djed.model.request import Request, Run
from djed.service import Engine
from djed.store import events
from djed.store.store import Store

FOLLOWERS = 200
BAR = 0.100
MEMORY = 200 * 10**6
QUEUED = 10_000
_LINES, _PACE = 200, 0.05
_GRACE = 6.0
"""Seconds in which all followers come."""

# CLOCK_MONOTONIC is the same for all processes of a machine (clock_gettime(2)).
_SCRIPT = f"""\
#!/usr/bin/env python3
import time
time.sleep({_GRACE})
for _ in range({_LINES}):
    print(f"{{time.clock_gettime(time.CLOCK_MONOTONIC):.6f}}", flush=True)
    time.sleep({_PACE})
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What came, when, and since when its follower followed; by the monotonic clock."""

    data: str
    heard: float
    since: float


def measure() -> Iterator[Row]:
    """Three rows."""
    with place() as folder:
        delays = _lines(folder / "lines")
    yield _row(f"a line of a running job at {FOLLOWERS} followers, {1 / _PACE:.0f} lines/s, p95", delays)
    with place() as folder:
        _queue(folder / "queued")
        delays, peak = _events(folder / "queued")
    yield _row(
        f"an event at its follower, {FOLLOWERS} followers of as many inspections, {1 / _PACE:.0f} changes/s, p95",
        delays,
    )
    yield Row(
        what=f"peak memory of the server with {FOLLOWERS} followers and {QUEUED:,} queued inspections",
        bar="≤ 200 MB",
        measured=format_size(peak),
        holds=peak <= MEMORY,
    )


def _row(what: str, delays: Sequence[float]) -> Row:
    worst = statistics.quantiles(delays, n=20)[-1]
    return Row(
        what=what,
        bar=f"≤ {format_duration(BAR)}",
        measured=format_duration(worst),
        beside=f"p50 {format_duration(statistics.median(delays))}, {len(delays):,} deliveries",
        holds=worst <= BAR,
    )


def _lines(data: Path) -> list[float]:
    """Seconds from the print of each line to each follower, through the local runner."""
    with serving(data, work=True) as server, server.client() as client:
        request = {"run": {"script": {"path": "lines.py", "content": _SCRIPT}, "resources": {"cpu": 1}}}
        answer = client.post("/v1/inspections", json=request)
        answer.raise_for_status()
        id_ = answer.json()["id"]
        job = _running(lambda: client.get(f"/v1/inspections/{id_}/jobs").json()["items"])
        told = _follow(server, [f"/v1/jobs/{job}/stream"] * FOLLOWERS, _LINES)
    return [
        item.heard - float(line)
        for item in told
        for line in json.loads(item.data)["text"].split()
        if float(line) > item.since  # before that he did not follow
    ]


def _running(jobs: Callable[[], list[dict[str, Any]]]) -> str:
    """The run, once it runs. Raises ``RuntimeError`` where it does not."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for job in jobs():
            if job["role"] == "run:0" and job["state"] == "active":
                return str(job["id"])
        time.sleep(0.05)
    raise RuntimeError("the job did not start")


def _queue(data: Path) -> None:
    """Inspections that nobody works on."""
    request = Request(name="queued", run=Run(command=("true",)))
    with Engine.open(load({"data": str(data)}, environ={})) as engine:
        for _ in range(QUEUED // 100):
            engine.submit([Submission(request=request)] * 100)


def _events(data: Path) -> tuple[list[float], int]:
    """Seconds from the commit of each event to its follower, and the bytes of memory that the server had at most."""
    with serving(data) as server:
        with server.client() as client:
            page = client.get("/v1/inspections", params={"limit": FOLLOWERS}).json()
        ids = [item["id"] for item in page["items"]]
        teller = threading.Thread(target=_tell, args=(data, ids))
        teller.start()
        paths = [f"/v1/inspections/{id_}/stream" for id_ in ids]
        told = _follow(server, paths, 1)
        teller.join()
        peak = _peak(server.process)
    return [item.heard - json.loads(item.data)["data"]["stamp"] for item in told], peak


def _tell(data: Path, ids: Sequence[str]) -> None:
    """One event of each inspection."""
    store = Store.open(load({"data": str(data)}, environ={}))
    time.sleep(_GRACE)
    for id_ in ids:
        with store.change() as connection:
            stamp = time.clock_gettime(time.CLOCK_MONOTONIC)
            events.add(connection, [(id_, "stamp", {"stamp": stamp}, time.time(), DEFAULT_NAMESPACE)])
        time.sleep(_PACE)
    store.close()


def _follow(server: Server, paths: Sequence[str], count: int) -> list[_Told]:
    """What followers were told that each hear so many stamps."""

    async def main() -> list[_Told]:
        found: list[_Told] = []
        listeners: list[Coroutine[Any, Any, None]] = [_hear(server, path, count, found) for path in paths]
        await asyncio.wait_for(asyncio.gather(*listeners), 120)
        return found

    return asyncio.run(main())


async def _hear(server: Server, path: str, count: int, found: list[_Told]) -> None:
    """By a bare socket: a client of hundreds of streams in one process must not be what is measured."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "bench", **server.headers}.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    await reader.readuntil(b"retry:")
    since, heard = time.clock_gettime(time.CLOCK_MONOTONIC), 0
    while heard < count:
        line = await reader.readline()
        if not line:
            raise RuntimeError("a stream ended early")
        if line.startswith(b"data: ") and (b'"text"' in line or b'"stamp"' in line):
            data = line[6:].decode()
            found.append(_Told(data=data, heard=time.clock_gettime(time.CLOCK_MONOTONIC), since=since))
            heard += len(json.loads(data).get("text", "").split()) or 1
    writer.close()


def _peak(process: int) -> int:
    """VmHWM of proc(5)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    match = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024
