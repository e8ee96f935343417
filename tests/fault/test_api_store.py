"""The store is full, locked or gone while the service runs: a problem with a sentence, no 500, nothing lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.routing import Route
from starlette.testclient import TestClient

from djed.api.app import create_app, routes
from djed.config import load
from djed.errors import StoreError
from djed.service import Engine
from djed.service.admin import Admin
from djed.toolbox.sqlite import sqlite_driver
from tests.fault.test_store_trouble import fill, small_disk
from tests.support.server import server

REQUEST = {"run": {"script": {"path": "a.sh", "content": "exit 0\n"}, "resources": {"cpu": 1}}}
# Others are references.
PARAMETERS = {
    "job": "0123456789abcdef0123",
    "role": "run:0",
    "stream": "stdout",
    "path": "a",
    "digest": "sha256:" + "0" * 64,
    "name": "n",
    "id": "0123456789abcdef",
}


@pytest.mark.needs("root", "uv")
def test_a_full_disk_refuses_what_it_cannot_keep_and_serves_the_rest(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 32 * 2**20) as disk, server(disk / "data", "--no-work") as served:
        before = served.submit()
        ballast = fill(disk)
        full = [served.call("POST", "/v1/inspections", json=REQUEST) for _ in range(3)]
        assert {answer.status_code for answer in full} == {507}
        assert full[0].json()["type"] == "urn:djed:error:store-full"
        assert "retry-after" in full[0].headers
        assert served.get(f"/v1/inspections/{before}")["state"] == "queued"
        assert served.get("/v1/version")["name"] == "djed"
        ballast.unlink()
        after = served.submit()
        assert {item["id"] for item in served.get("/v1/inspections")["items"]} == {before, after}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """One that waits for a locked store a fifth of a second, not thirty."""
    monkeypatch.setattr("djed.store.sqlite._BUSY_SECONDS", 0.2)
    with Engine.open(load({"data": str(tmp_path / "data")}, environ={})) as opened:
        yield opened


@pytest.fixture
def client(engine: Engine) -> Iterator[TestClient]:
    _, text = Admin.of(engine.store).create_token("root", scope="admin")
    app = create_app(engine, engine.config)
    with TestClient(app, headers={"Authorization": f"Bearer {text}"}) as made:
        yield made


def test_a_store_that_another_holds_is_busy_and_readers_are_served(
    client: TestClient, engine: Engine
) -> None:
    kept = client.post("/v1/inspections", json=REQUEST).json()["id"]
    with closing(
        sqlite_driver().connect(str(engine.store.data / "djed.sqlite"), isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        busy = client.post("/v1/inspections", json=REQUEST)
        assert busy.status_code == 503
        assert busy.json()["type"] == "urn:djed:error:store-busy"
        assert int(busy.headers["retry-after"]) > 0
        assert client.get(f"/v1/inspections/{kept}").status_code == 200
        other.execute("ROLLBACK")
    assert client.post("/v1/inspections", json=REQUEST).status_code == 201


def test_a_store_whose_connections_are_all_in_use_is_busy(client: TestClient, engine: Engine) -> None:
    pool = engine.store.database._reader.pool
    assert isinstance(pool, sa.QueuePool)
    pool._timeout = 0.05
    with ExitStack() as held:
        for _ in range(pool.size() + pool._max_overflow):
            held.enter_context(engine.store.database.read())
        busy = client.get("/v1/inspections")
        assert busy.status_code == 503
        assert busy.json()["type"] == "urn:djed:error:store-busy"
    assert client.get("/v1/inspections").status_code == 200


@contextmanager
def gone() -> Iterator[sa.Connection]:
    raise StoreError("The store cannot be reached.")
    yield


def calls() -> list[tuple[str, str, Any]]:
    """Every call of the service, with parameters that fit."""
    found = []
    for route in routes():
        assert isinstance(route, Route)
        path = re.sub(r"\{(\w+)(:\w+)?\}", lambda match: PARAMETERS.get(match[1], "abc123"), route.path)
        found += [(method, path, REQUEST if method != "GET" else None) for method in route.methods or ()]
    return found


def test_a_store_that_is_gone_is_never_a_bug_of_ours(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/v1/whoami").status_code == 200  # the token is known for a second
    monkeypatch.setattr(engine.store.database, "read", gone)
    monkeypatch.setattr(engine.store.database, "write", gone)
    unforeseen, away = [], 0
    for method, path, body in calls():
        if path.endswith("stream"):
            continue
        answer = client.request(method, path, json=body)
        unforeseen += [(method, path, answer.text)] if answer.status_code == 500 else []
        away += answer.status_code == 503
    assert not unforeseen
    assert away > 20
