"""Nodes, plans, recipes, observations, secrets, webhooks, tokens, namespaces and the audit log over HTTP."""

from __future__ import annotations

import asyncio
import csv
import errno
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from djed.api import forms
from djed.api.app import routes
from djed.api.openapi import document
from djed.api.routes import files
from djed.api.submissions import read_group
from djed.config import load
from djed.model.artifact import Artifact, Content
from djed.model.observation import Observation
from djed.service.engine import Engine
from djed.store import facts
from djed.store.schema import inspections
from djed.toolbox.digest import digest_bytes

RUN = {"name": "topic", "run": {"command": ["true"]}}


@pytest.fixture
def api(client: TestClient, headers: dict[str, str]) -> TestClient:
    client.headers.update(headers)
    return client


def submit(api: TestClient, **request: Any) -> str:
    answer = api.post("/v1/inspections", json={**RUN, **request})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def observed(api: TestClient, engine: Engine) -> str:
    item = engine.get(submit(api))
    found = [
        Observation(kind="metric", subject={"n": "=1+1"}, value={"median": number}) for number in range(3)
    ]
    with engine.store.change() as connection:
        facts.add_observations(connection, item, found, 1.0)
    return item.id


def keep(engine: Engine, inspection: str, artifact: Artifact) -> Path:
    """An artifact that the inspection uses; its folder."""
    with engine.store.change() as connection:
        facts.add_artifact(connection, artifact, 1.0)
        connection.execute(
            inspections.update().where(inspections.c.id == inspection).values(artifact=artifact.digest)
        )
    folder = engine.store.artifact_path(artifact)
    folder.mkdir(parents=True)
    return folder


def artifact(digit: str, **more: Any) -> Artifact:
    return Artifact(
        digest=f"sha256:{digit * 64}",
        path=f"x/{digit}",
        size=1,
        manifest="sha256:m",
        **{"kind": "venv", **more},
    )


def test_observations_come_by_page(api: TestClient, observed: str) -> None:
    first = api.get(f"/v1/observations?inspection={observed}&kind=metric&limit=2")
    assert [item["value"]["median"] for item in first.json()["items"]] == [2, 1]
    second = api.get(first.headers["link"].removeprefix("<").partition(">")[0])
    assert [item["value"]["median"] for item in second.json()["items"]] == [0]
    assert second.json()["next"] is None
    assert api.get(f"/v1/observations?inspection={observed}&kind=fails").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "accept", "is_csv"),
    [
        ("?format=csv", "application/json", True),
        ("", "text/csv", True),
        ("", "text/csv, application/json", False),
        ("?format=json", "text/csv", False),
        ("", "*/*", False),
    ],
)
def test_observations_are_csv_for_who_wants_it(
    api: TestClient, observed: str, query: str, accept: str, is_csv: bool
) -> None:
    answer = api.get(f"/v1/observations{query}", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("text/csv" if is_csv else "application/json")
    assert answer.headers["vary"] == "Accept"
    if is_csv:
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert observed in {row["inspection"] for row in rows}
        assert json.loads(rows[0]["subject"]) == {"n": "=1+1"}


def test_a_wheel_is_handed_out_as_it_is(api: TestClient, engine: Engine) -> None:
    content = Content(name="a", version="1", file="a-1-py3-none-any.whl")
    kept = artifact("1", kind="wheel", contents=(content,))
    (keep(engine, submit(api), kept) / "a-1-py3-none-any.whl").write_bytes(b"0123456789")
    path = f"/v1/artifacts/{kept.digest}"
    assert api.get(path).json()["contents"][0]["name"] == "a"
    whole = api.get(f"{path}/download")
    assert whole.content == b"0123456789"
    assert whole.headers["content-disposition"] == 'attachment; filename="a-1-py3-none-any.whl"'
    part = api.get(f"{path}/download", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert api.get(f"{path}/download", headers={"Range": "bytes=10-"}).status_code == 416
    assert api.head(f"{path}/download").headers["content-length"] == "10"


def test_a_folder_is_handed_out_as_an_archive(api: TestClient, engine: Engine) -> None:
    kept = artifact("2")
    (keep(engine, submit(api), kept) / "a").write_text("x")
    answer = api.get(f"/v1/artifacts/{kept.digest}/download")
    assert answer.headers["content-type"] == "application/gzip"
    assert answer.headers["content-disposition"] == f'attachment; filename="venv-{"2" * 16}.tar.gz"'
    assert answer.content[:2] == b"\x1f\x8b"
    items = api.get("/v1/artifacts?limit=1000").json()["items"]
    assert kept.digest in {item["digest"] for item in items}


def test_files_that_are_elsewhere_are_not_found(api: TestClient, engine: Engine) -> None:
    kept = artifact("3")
    keep(engine, submit(api), kept).rmdir()
    answer = api.get(f"/v1/artifacts/{kept.digest}/download")
    assert answer.status_code == 404
    assert str(engine.store.data) not in answer.text


def test_an_artifact_of_nobody_is_not_found(api: TestClient) -> None:
    for path in ("", "/download"):
        assert api.get(f"/v1/artifacts/sha256:{'f' * 64}{path}").status_code == 404


def test_events_are_read_behind_a_position(api: TestClient) -> None:
    path = f"/v1/inspections/{submit(api)}"
    api.post(f"{path}/cancel")
    first = api.get(f"{path}/events?limit=1").json()
    assert [item["kind"] for item in first["items"]] == ["state"]
    rest = api.get(f"{path}/events", params={"after": first["next"]}).json()
    assert [item["kind"] for item in rest["items"]] == ["cancel"]
    assert api.get(f"{path}/events?after=x").status_code == 422


def test_what_is_not_known_yet_is_a_conflict(api: TestClient) -> None:
    path = f"/v1/inspections/{submit(api)}"
    assert api.get(f"{path}/lock").status_code == 409
    assert api.get(f"{path}/jobs").json() == {"items": [], "next": None}
    assert api.get(f"{path}/attempts").json()["items"] == []
    assert api.get(f"{path}/logs/run:0/stdout").status_code == 404
    assert api.get(f"{path}/outputs/run:0/../../x").status_code == 404
    assert api.get(f"{path}/queue").json()["state"] == "queued"


def test_a_difference_is_told(api: TestClient) -> None:
    a, b = submit(api), submit(api, run={"command": ["false"]})
    answer = api.get(f"/v1/inspections/{a}/diff/{b}")
    assert answer.json()["request"] == [{"name": "run.command", "before": ["true"], "after": ["false"]}]


def test_a_recipe_is_plain_text(api: TestClient) -> None:
    answer = api.post("/v1/recipe", json=RUN)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.text.startswith("FROM ")
    assert api.get(f"/v1/inspections/{submit(api)}/recipe").text.startswith("FROM ")


def test_a_secret_is_kept_and_never_told(api: TestClient) -> None:
    assert api.put("/v1/secrets/key", content=b"hush").status_code == 204
    answer = api.get("/v1/secrets")
    assert answer.json() == {"items": ["key"], "next": None}
    assert api.delete("/v1/secrets/key").status_code == 204
    assert api.delete("/v1/secrets/key").status_code == 404
    assert api.put("/v1/secrets/key", content=b"x" * 70_000).status_code == 413
    assert api.put("/v1/secrets/a%2Fb", content=b"x").status_code in {404, 422}


def test_a_webhook_tells_its_secret_once(api: TestClient) -> None:
    made = api.post("/v1/webhooks", json={"url": "https://93.184.215.14/hook", "events": ["done"]})
    assert made.status_code == 201, made.text
    id_, secret = made.json()["id"], made.json()["secret"]
    listed = api.get("/v1/webhooks")
    assert [item["id"] for item in listed.json()["items"]] == [id_]
    assert secret not in listed.text
    assert api.get(f"/v1/webhooks/{id_}/deliveries").json() == {"items": [], "next": None}
    assert api.delete(f"/v1/webhooks/{id_}").status_code == 204
    assert api.get(f"/v1/webhooks/{id_}/deliveries").status_code == 404


def test_a_token_opens_until_it_is_revoked(api: TestClient) -> None:
    made = api.post("/v1/tokens", json={"name": "ci", "scope": "read", "ttl": 60}).json()
    new = {"Authorization": f"Bearer {made['text']}"}
    told = api.get("/v1/whoami", headers=new).json()
    assert (told["name"], told["scope"], told["token"]) == ("ci", "read", made["id"])
    assert made["text"] not in api.get("/v1/tokens").text
    assert api.delete(f"/v1/tokens/{made['id']}").json()["revoked_at"] is not None
    assert api.get("/v1/whoami", headers=new).status_code == 401
    assert api.delete(f"/v1/tokens/{'0' * 16}").status_code == 404


def test_a_namespace_is_made_changed_and_removed(api: TestClient) -> None:
    made = api.put("/v1/namespaces/lab", json={"quota": {"cpu": 2}, "weight": 2}).json()
    assert (made["name"], made["quota"], made["weight"]) == ("lab", {"cpu": 2.0}, 2.0)
    assert api.put("/v1/namespaces/lab", json=made).json() == made  # as it was read
    assert api.put("/v1/namespaces/lab", json={"name": "other"}).status_code == 422
    assert "lab" in {item["name"] for item in api.get("/v1/namespaces").json()["items"]}
    assert api.delete("/v1/namespaces/lab").status_code == 204
    assert api.delete("/v1/namespaces/lab").status_code == 404
    acts = api.get("/v1/audit?namespace=default&limit=5").json()
    assert {"actor", "action", "subject", "at"} <= acts["items"][0].keys()


def test_clean_up_tells_what_would_go(api: TestClient) -> None:
    found = api.post("/v1/gc", json={"older_than": 60, "dry_run": True})
    assert found.json()["inspections"] == 0
    assert api.post("/v1/gc", json={"older_than": -1}).status_code == 422


def test_nodes_and_targets_are_listed(api: TestClient) -> None:
    nodes = api.get("/v1/nodes").json()["items"]
    (target,) = api.get("/v1/targets").json()["items"]
    assert target == {"name": "local", "nodes": [node["id"] for node in nodes]}


def test_usage_counts_what_waits(api: TestClient) -> None:
    before = api.get("/v1/usage").json()["queued"]
    submit(api)
    assert api.get("/v1/usage").json()["queued"] == before + 1


def test_the_document_holds_together() -> None:
    found = document(routes())
    schemas = found["components"]["schemas"]
    text = json.dumps(found)
    named = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= schemas.keys()
    assert "token" not in schemas["Inspection"]["properties"]
    assert {"id", "state", "outcome", "failure", "statistics", "final"} <= set(
        schemas["Inspection"]["required"]
    )
    assert schemas["Request"]["additionalProperties"] is False
    bodies = found["paths"]["/v1/groups"]["post"]["requestBody"]["content"]
    assert bodies["application/json"]["schema"]["properties"]["requests"]["items"] == {
        "$ref": "#/components/schemas/Request"
    }


def test_every_example_is_taken() -> None:
    for kind in (forms.CleanUp, forms.Group, forms.NewNamespace, forms.NewToken, forms.NewWebhook):
        forms.form(kind, forms._EXAMPLES[kind.__name__])
    group = forms.form(forms.Group, forms._EXAMPLES["Group"])
    assert len(read_group(group.requests, load({}, environ={}))) == 2


def test_a_full_disk_is_told_to_who_uploads(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_write", full)
    answer = api.put(f"/v1/files/sha256:{'0' * 64}", content=b"x")
    assert (answer.status_code, answer.json()["type"]) == (507, "urn:djed:error:store-full")


def test_a_large_content_is_kept_too(api: TestClient) -> None:
    content = b"x" * (2**20 + 1)
    digest = digest_bytes(content)
    assert api.put(f"/v1/files/{digest}", content=content).status_code == 204
    assert api.head(f"/v1/files/{digest}").status_code == 204


def test_a_caller_who_leaves_is_no_failure_of_ours(
    make: Callable[..., FastAPI], headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/v1/files/sha256:{'0' * 64}",
        "query_string": b"",
        "headers": [(b"authorization", headers["Authorization"].encode()), (b"content-length", b"9")],
        "client": ("127.0.0.1", 1),
    }
    asyncio.run(make()(scope, receive, send))
    assert sent[0]["status"] == 400
    assert "Traceback" not in caplog.text
