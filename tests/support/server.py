"""A real server in a process of its own, on a port that is free, with a data folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2

from tests.support.live import open_engine

__all__ = ["Served", "begin", "server"]


@dataclass
class Served:
    """A server that takes calls."""

    url: str
    token: str
    """With the scope ``admin``."""
    data: Path
    process: subprocess.Popen[bytes]

    @cached_property
    def http(self) -> httpx2.Client:
        """Calls without a token, but for what the caller adds."""
        return httpx2.Client(base_url=self.url, timeout=60)

    def call(self, method: str, path: str, *, token: str | None = None, **more: Any) -> httpx2.Response:
        """A call with the token of the administrator, or another; an empty one sends none."""
        headers = dict(more.pop("headers", {}))
        if token != "":
            headers["Authorization"] = f"Bearer {self.token if token is None else token}"
        return self.http.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        """The JSON of an answer with status 200."""
        answer = self.call("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def new_token(
        self, scope: str = "submit", *, namespace: str = "default", ttl: float | None = None
    ) -> str:
        """The text of a new token."""
        body = {"name": "test", "scope": scope, "namespace": namespace, "ttl": ttl}
        answer = self.call("POST", "/v1/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["text"])

    def submit(self, script: str = "exit 0\n", **run: Any) -> str:
        """The id of an inspection that runs a shell script on one CPU of this machine."""
        file = {"path": "script.sh", "content": script}
        request = {"run": {"script": file, "resources": {"cpu": 1}, **run}}
        answer = self.call("POST", "/v1/inspections", json=request)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def stop(self) -> int:
        """Ask it to stop; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """Take it away at once."""
        self.process.kill()
        self.process.wait(60)


def begin(data: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """The process of ``djed serve``, which may not come to take calls."""
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DJED_DATA": str(data),
        "DJED_INDEXES_ALLOW_PRIVATE": "true",
        **(environ or {}),
    }
    port = () if "--port" in arguments else ("--port", "0")
    command = [sys.executable, "-m", "djed", "serve", *port, "--json", *arguments]
    with (data.parent / f"{data.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=variables)


@contextmanager
def server(
    data: Path, *arguments: str, token: str | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """A server, until the end of the block. ``token``: that of an earlier server on the same folder.

    What it writes on stderr is in the file ``DATA.log`` beside its folder. By default it works: for ``--no-work`` say so.
    """
    _prepare(data)
    process = begin(data, *arguments, environ=environ)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (data.parent / f"{data.name}.log").read_text()
        told = json.loads(line)
        served = Served(url=told["url"], token=told["token"] or token or "", data=data, process=process)
        with served.http:
            yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
        process.stdout.close()


def _prepare(data: Path) -> None:
    """A folder that knows the Pythons of this machine: to look for them takes a second."""
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "pythons.json").exists():
        with open_engine(data.parent / "prepared"):
            shutil.copy(data.parent / "prepared/pythons.json", data)
