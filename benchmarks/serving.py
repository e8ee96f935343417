"""Servers to be measured: ``djed serve`` and a bare FastAPI, each on the first core, and wrk on the last."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks.bar import NotMeasuredError, environment
from djed.config import load
from djed.service.admin import Admin
from djed.store.store import Store

__all__ = ["SECONDS", "Server", "hello", "serving", "wrk"]

SECONDS = 5
"""For which wrk calls."""
_PATIENCE = 60.0

_HELLO = """\
import sys
import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def hello() -> dict[str, str]:
    return {"hello": "world"}


uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A running server."""

    url: str
    token: str
    process: int
    """Its number."""

    @property
    def headers(self) -> dict[str, str]:
        """What lets its calls in."""
        return {"Authorization": f"Bearer {self.token}"}

    def client(self) -> httpx2.Client:
        """A client with its token."""
        limits = httpx2.Limits(max_connections=200)
        return httpx2.Client(base_url=self.url, headers=self.headers, timeout=120, limits=limits)


@contextmanager
def serving(data: Path, *, work: bool = False) -> Iterator[Server]:
    """``djed serve``."""
    store = Store.open(load({"data": str(data)}, environ={}))
    _, token = Admin.of(store, "bench").create_token("bench", scope="admin")
    store.close()
    port = _free_port()
    command = [
        *(sys.executable, "-m", "djed", "serve", "--port", str(port), "--data", str(data)),
        *("--set", "serve.rate=1000000", *([] if work else ["--no-work"])),
    ]
    with _running(command, port) as process:
        yield Server(url=f"http://127.0.0.1:{port}", token=token, process=process.pid)


@contextmanager
def hello() -> Iterator[str]:
    """The address of a bare FastAPI that says hello."""
    port = _free_port()
    with _running([sys.executable, "-c", _HELLO, str(port)], port):
        yield f"http://127.0.0.1:{port}/"


def wrk(url: str, headers: dict[str, str], *options: str) -> float:
    """Answers a second over 16 connections. Raises ``RuntimeError`` where one was no success, ``NotMeasuredError`` without wrk."""
    if shutil.which("wrk") is None:
        raise NotMeasuredError("wrk is not installed (Debian: apt-get install wrk)")
    told = [item for name, value in headers.items() for item in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", "-c16", f"-d{SECONDS}", *told, *options, url]
    last = str(max(os.sched_getaffinity(0)))
    done = subprocess.run(["taskset", "-c", last, *command], capture_output=True, text=True, check=True)
    found = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise RuntimeError(f"wrk found:\n{done.stdout[-1000:]}")
    return float(found[1])


@contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process on the first core, once it listens."""
    first = str(min(os.sched_getaffinity(0)))
    process = subprocess.Popen(
        ["taskset", "-c", first, *command],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_listening(process, port)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE)


def _await_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing listened at port {port}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
