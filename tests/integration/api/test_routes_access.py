"""Every call: without a token, with less than its scope, and for what belongs to another namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from djed.api.app import routes
from djed.model.principal import SCOPES, Scope
from djed.service.admin import Admin
from djed.service.engine import Engine
from djed.store.schema import job_uses, jobs

RUN = {"name": "theirs", "run": {"command": ["true"]}}
DIGEST = "sha256:" + "0" * 64

NEEDED: Mapping[tuple[str, str], Scope] = {
    ("POST", "/v1/inspections"): "submit",
    ("POST", "/v1/groups"): "submit",
    ("GET", "/v1/inspections"): "read",
    ("GET", "/v1/inspections/{reference}"): "read",
    ("DELETE", "/v1/inspections/{reference}"): "manage",
    ("POST", "/v1/inspections/{reference}/cancel"): "submit",
    ("POST", "/v1/inspections/{reference}/retry"): "submit",
    ("POST", "/v1/inspections/{reference}/clone"): "submit",
    ("GET", "/v1/inspections/{reference}/events"): "read",
    ("GET", "/v1/inspections/{reference}/queue"): "read",
    ("GET", "/v1/inspections/{reference}/lock"): "read",
    ("GET", "/v1/inspections/{reference}/recipe"): "read",
    ("GET", "/v1/inspections/{reference}/diff/{other}"): "read",
    ("GET", "/v1/inspections/{reference}/jobs"): "read",
    ("GET", "/v1/inspections/{reference}/attempts"): "read",
    ("GET", "/v1/inspections/{reference}/logs/{role}/{stream}"): "read",
    ("GET", "/v1/inspections/{reference}/outputs/{role}/{path:path}"): "read",
    ("GET", "/v1/jobs/{job}"): "read",
    ("GET", "/v1/jobs/{job}/log"): "read",
    ("GET", "/v1/artifacts"): "read",
    ("GET", "/v1/artifacts/{digest}"): "read",
    ("GET", "/v1/artifacts/{digest}/download"): "read",
    ("GET", "/v1/observations"): "read",
    ("GET", "/v1/nodes"): "read",
    ("GET", "/v1/targets"): "read",
    ("POST", "/v1/plan"): "submit",
    ("POST", "/v1/recipe"): "read",
    ("PUT", "/v1/files/{digest}"): "submit",
    ("HEAD", "/v1/files/{digest}"): "read",
    ("GET", "/v1/usage"): "read",
    ("GET", "/v1/secrets"): "manage",
    ("PUT", "/v1/secrets/{name}"): "manage",
    ("DELETE", "/v1/secrets/{name}"): "manage",
    ("GET", "/v1/webhooks"): "manage",
    ("POST", "/v1/webhooks"): "manage",
    ("DELETE", "/v1/webhooks/{id}"): "manage",
    ("GET", "/v1/webhooks/{id}/deliveries"): "manage",
    ("GET", "/v1/whoami"): "read",
    ("GET", "/v1/tokens"): "admin",
    ("POST", "/v1/tokens"): "admin",
    ("DELETE", "/v1/tokens/{id}"): "admin",
    ("GET", "/v1/namespaces"): "admin",
    ("PUT", "/v1/namespaces/{name}"): "admin",
    ("DELETE", "/v1/namespaces/{name}"): "admin",
    ("GET", "/v1/audit"): "admin",
    ("POST", "/v1/gc"): "admin",
}
MODULES = (
    "admin", "artifacts", "evidence", "files", "inspections", "jobs", "namespace", "nodes", "observations", "planning",
)  # fmt: skip
CALLS = sorted(NEEDED)
PARTS = {
    "role": "run:0",
    "stream": "stdout",
    "path:path": "a/b",
    "digest": DIGEST,
    "name": "a",
    "id": "0" * 16,
    "other": "latest",
}


def address(path: str, **parts: str) -> str:
    for name, value in {**PARTS, "reference": "latest", "job": "job", **parts}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def call(client: TestClient, method: str, path: str, token: str | None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body: dict[str, Any] = (
        {"content": b"x"} if method == "PUT" and "/namespaces/" not in path else {"json": {}}
    )
    return client.request(method, path, headers=headers, **(body if method in {"POST", "PUT"} else {}))


@pytest.fixture(scope="module")
def tokens(engine: Engine) -> dict[Scope, str]:
    """A token of each scope, in a namespace of its own."""
    admin = Admin.of(engine.store)
    return {scope: admin.create_token(scope, namespace="mine", scope=scope)[1] for scope in SCOPES}


@pytest.fixture(scope="module")
def theirs(engine: Engine) -> dict[str, str]:
    """An inspection with a job, in another namespace."""
    from djed.intake import read_mapping

    other = engine.acting(engine.principal.__class__(name="x", namespace="theirs", scope="submit"))
    (item,) = other.submit([read_mapping(RUN, config=engine.config)])
    with engine.store.change() as connection:
        row = {
            "id": "theirjob", "kind": "run", "lead": 1, "state": "queued", "spec": "{}", "target": "local", "created_at": 1.0,
            "namespace": "theirs",
        }  # fmt: skip
        connection.execute(jobs.insert().values(row))
        connection.execute(job_uses.insert().values(inspection=item.id, role="run:0", job="theirjob"))
    return {"reference": item.id, "job": "theirjob"}


def test_every_call_is_in_the_table() -> None:
    ours = {
        (method, route.path)
        for route in routes()
        if isinstance(route, APIRoute) and route.endpoint.__module__.rpartition(".")[2] in MODULES
        for method in route.methods or ()
    }
    assert ours == set(NEEDED)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_nothing_is_told_without_a_token(client: TestClient, method: str, path: str) -> None:
    answer = call(client, method, address(path), None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert call(client, method, address(path), f"djed_{'0' * 16}_{'a' * 43}").status_code == 401


@pytest.mark.parametrize(("method", "path"), [item for item in CALLS if NEEDED[item] != "read"])
def test_a_token_of_less_scope_is_refused(
    client: TestClient, tokens: dict[Scope, str], method: str, path: str
) -> None:
    less = SCOPES[SCOPES.index(NEEDED[method, path]) - 1]
    answer = call(client, method, address(path), tokens[less])
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:djed:error:access")


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_token_of_its_scope_is_let_in(
    client: TestClient, tokens: dict[Scope, str], method: str, path: str
) -> None:
    answer = call(client, method, address(path), tokens[NEEDED[method, path]])
    assert answer.status_code < 500
    assert answer.status_code not in {401, 403, 405}


FOREIGN = [
    item for item in CALLS if "{reference}" in item[1] or "{job}" in item[1]
]  # what is named by what another namespace made


@pytest.mark.parametrize(("method", "path"), FOREIGN)
def test_what_belongs_to_others_is_not_there(
    client: TestClient, tokens: dict[Scope, str], theirs: dict[str, str], method: str, path: str
) -> None:
    for reference in (theirs["reference"], theirs["reference"][:6], "theirs"):
        place = address(path, reference=reference, job=theirs["job"], other=reference)
        answer = call(client, method, place, tokens["admin"])
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:djed:error:not-found")


def test_lists_hold_nothing_of_others(
    client: TestClient, tokens: dict[Scope, str], theirs: dict[str, str]
) -> None:
    for path in ("inspections?limit=1000", "inspections?name=theirs", "observations", "artifacts"):
        told = call(client, "GET", f"/v1/{path}", tokens["admin"]).text
        assert "theirs" not in told
        assert theirs["reference"] not in told
    mine = {"Authorization": f"Bearer {tokens['admin']}"}
    own = client.post("/v1/inspections", json={**RUN, "name": "own"}, headers=mine).json()["id"]
    for a, b in ((own, theirs["reference"]), (theirs["reference"], own)):
        assert call(client, "GET", f"/v1/inspections/{a}/diff/{b}", tokens["admin"]).status_code == 404
