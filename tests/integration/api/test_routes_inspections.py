"""Inspections over HTTP: asked for, listed, looked at, changed; and what comes of bad words."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from djed.model.codec import decode
from djed.model.inspection import Inspection
from djed.service.engine import Engine

RUN = {"name": "first", "run": {"command": ["true"]}}
DIGEST = "sha256:" + hashlib.sha256(b"text").hexdigest()


@pytest.fixture
def api(client: TestClient, headers: dict[str, str]) -> TestClient:
    client.headers.update(headers)
    return client


def submit(api: TestClient, **request: Any) -> str:
    answer = api.post("/v1/inspections", json={**RUN, **request})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def fault_paths(answer: Any) -> list[str]:
    return [fault["path"] for fault in answer.json().get("faults", [])]


def test_what_is_submitted_is_answered_where_it_is(api: TestClient) -> None:
    answer = api.post("/v1/inspections", json=RUN)
    assert answer.status_code == 201
    told = answer.json()
    assert answer.headers["location"] == f"/v1/inspections/{told['id']}"
    again = api.get(answer.headers["location"])
    assert again.content == answer.content
    assert again.headers["etag"] == answer.headers["etag"]
    assert (told["state"], told["final"], told["request"]) == ("queued", False, RUN)


def test_the_answer_gives_the_whole_noun_back(api: TestClient, engine: Engine) -> None:
    id_ = submit(api, labels={"a": "ü"})
    assert decode(Inspection, api.get(f"/v1/inspections/{id_}").json()) == engine.get(id_)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("application/yaml", 'name: y\nrun: {command: ["true"]}\n'),
        ("text/yaml; charset=utf-8", 'name: y\nrun: {command: ["true"]}\n'),
        ("application/toml", 'name = "y"\n[run]\ncommand = ["true"]\n'),
    ],
)
def test_a_request_may_be_yaml_or_toml(api: TestClient, kind: str, text: str) -> None:
    answer = api.post("/v1/inspections", content=text, headers={"Content-Type": kind})
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "y"


def test_a_fault_has_its_path_and_line(api: TestClient) -> None:
    text = "name: y\nrun:\n  command: ['true']\n  repeat: many\n"
    answer = api.post("/v1/inspections", content=text, headers={"Content-Type": "application/yaml"})
    assert answer.status_code == 422
    (fault,) = answer.json()["faults"]
    assert (fault["path"], fault["line"]) == ("run.repeat", 4)


def test_a_file_of_the_sender_s_machine_is_not_read(api: TestClient) -> None:
    files = {"files": [{"path": "a", "source": "/etc/passwd"}]}
    answer = api.post("/v1/inspections", json={"environment": files})
    assert answer.status_code == 422
    assert fault_paths(answer) == ["environment.files[0].source"]


def test_a_digest_must_have_been_sent_by_this_namespace(api: TestClient, engine: Engine) -> None:
    engine.store.blobs.put(b"text")  # somebody else's
    request = {"environment": {"files": [{"path": "a", "digest": DIGEST, "size": 4}]}}
    for path in ("/v1/inspections", "/v1/recipe", "/v1/plan?wait=0"):
        answer = api.post(path, json=request)
        assert (answer.status_code, fault_paths(answer)) == (422, ["environment.files[0]"]), path
    assert api.head(f"/v1/files/{DIGEST}").status_code == 404
    assert api.put(f"/v1/files/{DIGEST}", content=b"text").status_code == 204
    assert api.head(f"/v1/files/{DIGEST}").status_code == 204
    assert api.post("/v1/inspections", json=request).status_code == 201


def test_a_content_must_have_the_digest_that_is_told(api: TestClient) -> None:
    answer = api.put(f"/v1/files/{DIGEST}", content=b"other")
    assert answer.status_code == 422
    assert api.put("/v1/files/sha256:..%2F..%2Fx", content=b"x").status_code in {404, 422}


def test_one_key_makes_one_inspection(api: TestClient) -> None:
    headers = {"Idempotency-Key": "a key"}
    first = api.post("/v1/inspections", json=RUN, headers=headers)
    assert api.post("/v1/inspections", json=RUN, headers=headers).json()["id"] == first.json()["id"]
    other = api.post("/v1/inspections", json={**RUN, "name": "other"}, headers=headers)
    assert other.status_code == 409
    for key in ("", "x" * 256, "\t"):
        assert api.post("/v1/inspections", json=RUN, headers={"Idempotency-Key": key}).status_code == 422


def test_a_group_is_accepted_whole_or_not_at_all(api: TestClient) -> None:
    before = len(api.get("/v1/inspections?limit=1000").json()["items"])
    wrong = api.post("/v1/groups", json={"requests": [RUN, {"run": {}}]})
    assert wrong.status_code == 422
    assert fault_paths(wrong) == ["requests[1].run"]
    assert len(api.get("/v1/inspections?limit=1000").json()["items"]) == before
    made = api.post("/v1/groups", json={"requests": [RUN, {**RUN, "name": "second"}]})
    assert [item["name"] for item in made.json()["items"]] == ["first", "second"]


def test_what_has_not_changed_is_not_sent_again(api: TestClient) -> None:
    path = f"/v1/inspections/{submit(api)}"
    tag = api.get(path).headers["etag"]
    for known in (tag, f'W/{tag}, "x"', "*"):
        answer = api.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert api.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
    assert api.post(f"{path}/cancel").status_code == 202
    assert api.get(path, headers={"If-None-Match": tag}).json()["cancel_requested"] is True


def test_it_is_found_by_name_and_by_the_beginning_of_its_id(api: TestClient) -> None:
    id_ = submit(api, name="by-name")
    for reference in (id_, id_[:8], "by-name", "latest"):
        assert api.get(f"/v1/inspections/{reference}").json()["id"] == id_


def test_it_is_tried_again_and_with_changes(api: TestClient) -> None:
    id_ = submit(api)
    again = api.post(f"/v1/inspections/{id_}/retry")
    assert (again.status_code, again.json()["request"]) == (201, RUN)
    clone = api.post(f"/v1/inspections/{id_}/clone", json={"name": "clone", "run": {"repeat": 3}})
    assert clone.status_code == 201
    assert clone.json()["request"] == {"name": "clone", "run": {"command": ["true"], "repeat": 3}}
    assert clone.headers["location"].endswith(clone.json()["id"])
    wrong = api.post(f"/v1/inspections/{id_}/clone", json={"run": {"repeat": -3}})
    assert fault_paths(wrong) == ["run.repeat"]


def test_pages_follow_each_other_by_the_body_and_by_the_header(api: TestClient) -> None:
    made = [submit(api, name="paged") for _ in range(5)]
    path, found = "/v1/inspections?name=paged&state=queued&limit=2", []
    while path:
        answer = api.get(path)
        found += [item["id"] for item in answer.json()["items"]]
        link = answer.headers.get("link", "")
        assert bool(link) == (answer.json()["next"] is not None)
        path = link.removeprefix("<").partition(">")[0]
    assert found == made[::-1]
    by_age = api.get("/v1/inspections", params={"name": "paged", "sort": "created"}).json()["items"]
    assert [item["id"] for item in by_age] == made


@pytest.mark.parametrize(
    "query",
    [
        {"after": "zz"},
        {"after": "5b225d"},
        {"after": json.dumps(["\ud800", 1]).encode().hex(), "sort": "name"},
        {"after": json.dumps(["\0", 1]).encode().hex(), "sort": "name"},
        {"after": json.dumps([10**30]).encode().hex()},
        {"after": json.dumps([[[[]]]]).encode().hex()},
        {"after": json.dumps(["a", 1]).encode().hex()},
    ],
)
def test_a_forged_cursor_is_refused(api: TestClient, query: dict[str, str]) -> None:
    answer = api.get("/v1/inspections", params=query)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:djed:error:unreadable")
    for other in ("observations", "artifacts", "audit"):
        assert api.get(f"/v1/{other}", params={"after": query["after"] + "'"}).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1001", "limit=1e3", "limit=99999999999999999999", "limit=NaN", "sort=size", "state=gone", "name=a%00b",
        "name=a/b", f"name={'a' * 101}", "after=", "after=%0d%0a", "name=%ff",
    ],
)  # fmt: skip
def test_a_parameter_out_of_bounds_is_refused_with_its_name(api: TestClient, query: str) -> None:
    answer = api.get(f"/v1/inspections?{query}")
    assert answer.status_code == 422
    assert fault_paths(answer)[0].startswith(query.partition("=")[0])


@pytest.mark.parametrize("wait", ["-1", "61", "NaN", "inf", "x"])
def test_nobody_waits_for_ever(api: TestClient, wait: str) -> None:
    assert api.get(f"/v1/inspections/latest?wait={wait}").status_code == 422


@pytest.mark.parametrize(
    "reference",
    [
        "..",
        "..%2F..%2Fetc",
        "%2e%2e",
        "a%00b",
        "x" * 300,
        "%F0%9F%92%A9",
        "a%0d%0aX-Evil:%201",
        "a'b",
        "a%20b",
        "%ff",
    ],
)
def test_a_name_that_cannot_be_is_not_found(api: TestClient, reference: str) -> None:
    for path in ("", "/jobs", "/logs/run:0/stdout", "/lock"):
        answer = api.get(f"/v1/inspections/{reference}{path}")
        assert answer.status_code in {404, 422}
        assert answer.headers["content-type"] == "application/problem+json"
        assert "x-evil" not in answer.headers


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"run": {"repeat": NaN}}', "application/json", 400),
        (b'{"run": {"timeout": 1e999}}', "application/json", 400),
        (b'{"run": {"repeat": ' + b"9" * 5000 + b"}}", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"a: &a [*a]", "application/yaml", 400),
        (b"name = ", "application/toml", 400),
        (b"<x/>", "application/xml", 415),
        (b"{}", "text/html", 415),
        (b'{"name": "a/../b"}', "application/json", 422),
        (b'{"run": {"command": ["a\\u0000b"]}}', "application/json", 422),
    ],
)
def test_a_bad_body_is_refused_in_a_sentence(api: TestClient, content: bytes, kind: str, status: int) -> None:
    for path in ("/v1/inspections", "/v1/plan", "/v1/recipe"):
        answer = api.post(path, content=content, headers={"Content-Type": kind})
        assert answer.status_code == status, answer.text
        assert answer.json()["detail"].endswith(".")
        assert "Traceback" not in answer.text


def test_what_is_not_final_is_not_forgotten(api: TestClient) -> None:
    id_ = submit(api)
    assert api.delete(f"/v1/inspections/{id_}").status_code == 409
    assert api.get(f"/v1/inspections/{id_}").status_code == 200
