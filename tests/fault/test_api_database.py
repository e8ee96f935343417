"""A server whose database goes away for a while: callers are told so, what runs runs on, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import httpx2
import pytest

from tests.support.live import until
from tests.support.postgres import cluster
from tests.support.server import Served, server

pytestmark = pytest.mark.needs("uv", "postgresql")

AWAY = 5.0
"""Seconds: longer than a lease of the worker."""


def ready(served: Served) -> bool:
    return served.call("GET", "/readyz", token="").status_code == 200


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert "Traceback" not in answer.text
    assert "127.0.0.1" not in body["detail"]  # where the database is concerns no caller
    return answer.status_code, body["type"]


def test_while_the_database_is_away_callers_are_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with cluster() as database:
        environ = {"DJED_STORE": database.url(database.create()), "DJED_WORKER_LEASE": "2s"}
        with server(tmp_path / "data", environ=environ) as served:
            asked = [served.submit(f"sleep {AWAY / 2}; echo {number}\n") for number in range(3)]
            until(lambda: served.get(f"/v1/inspections/{asked[0]}")["state"] == "running", "the run")
            database.stop("immediate")
            gone = time.monotonic() + AWAY
            while time.monotonic() < gone:
                for method, path in (
                    ("GET", "/v1/inspections"),
                    ("GET", f"/v1/inspections/{asked[0]}"),
                    ("POST", "/v1/inspections"),
                    ("GET", f"/v1/inspections/{asked[0]}/stream"),
                ):
                    body = {"run": {"command": ["true"]}} if method == "POST" else None
                    answer = served.call(method, path, json=body)
                    assert problem(answer)[0] == 503, answer.text
                    assert "Retry-After" in answer.headers
                assert served.call("GET", "/healthz", token="").status_code == 200
                assert not ready(served)
            database.start()
            until(lambda: ready(served), "the database")
            asked.append(served.submit("echo after\n"))
            ended = [served.get(f"/v1/inspections/{id_}?wait=30") for id_ in asked]
            assert [(item["state"], item["outcome"]) for item in ended] == [("done", "succeeded")] * 4
            for id_ in asked:  # the script itself was started once
                attempts = served.get(f"/v1/inspections/{id_}/attempts")["items"]
                assert len({item["job"] for item in attempts}) == len(attempts)
            assert len(served.get("/v1/inspections")["items"]) == 4
