"""Amun's calls on a real server that does no work: shapes, defaults, pages, errors, and who is let in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.server import Served, server

SPECIFICATION: dict[str, Any] = {
    "base": "host",
    "identifier": "tf",
    "script": "#!/bin/sh\necho 1\n",
    "batch_size": 3,
}
INSPECTION = "/api/v1/inspect/{}"
BELOW = (
    "status",
    "specification",
    "build/log",
    "job/batch-size",
    "job/log",
    "job/logs",
    "job/0/result",
    "job/0/log",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With a namespace for those who have no token."""
    data = tmp_path_factory.mktemp("amun") / "data"
    with server(
        data, "--no-work", environ={"DJED_AMUN_NAMESPACE": "guests", "DJED_FETCH_HOSTS": "localhost"}
    ) as found:
        yield found


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Where everybody needs a token."""
    with server(tmp_path_factory.mktemp("closed") / "data", "--no-work") as found:
        yield found


def call(served: Served, method: str, path: str, **more: Any) -> httpx2.Response:
    """A call without a token; every answer has the header."""
    found = served.call(method, path, **{"token": "", **more})
    assert found.headers["x-amun-version"].startswith("0.10.6+djed."), path
    return found


def submit(served: Served, **fields: Any) -> str:
    answer = call(served, "POST", "/api/v1/inspect", json={**SPECIFICATION, **fields})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["inspection_id"])


def error(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """The body of an error, in both forms at once."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["error"] == found["detail"]
    assert (found["status"], found["type"]) == (status, "about:blank")
    assert "parameters" in found
    return found


def test_the_service_tells_of_itself(served: Served) -> None:
    version = call(served, "GET", "/api/v1/version").json()
    assert version == {"version": "0.10.6", "service_version": version["service_version"]}
    for path in ("/readiness", "/liveness"):
        assert call(served, "GET", path).json() == {"status": "ready", "version": version["service_version"]}
    assert INSPECTION.format("{inspection_id}/status") in call(served, "GET", "/api/v1").json()["paths"]


def test_the_root_leads_to_a_page_of_the_calls(served: Served) -> None:
    moved = call(served, "GET", "/")
    assert (moved.status_code, moved.headers["location"]) == (302, "/api/v1/ui")
    page = call(served, "GET", "/api/v1/ui")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "{inspection_id}/job/{item}/result" in page.text
    assert "<script" not in page.text


def test_a_submission_is_answered_with_its_specification_filled_in(served: Served) -> None:
    answer = call(served, "POST", "/api/v1/inspect", json=SPECIFICATION)
    told = answer.json()
    assert answer.status_code == 202
    assert re.fullmatch(r"inspection-tf-[0-9]{12}-[0-9a-f]{8}", told["inspection_id"])
    assert told["parameters"].items() >= SPECIFICATION.items()
    assert told["parameters"]["build"] == {"requests": {"cpu": "500m", "memory": "256Mi"}}
    assert told["parameters"]["@amun_api_url"] == f"{served.url}/api/v1"
    assert told["build_created"] == told["job_created"] == told["parameters"]["@created"]


def test_what_waits_can_be_looked_at(served: Served) -> None:
    id_ = submit(served)

    def get(path: str, status: int = 200) -> dict[str, Any]:
        answer = call(served, "GET", f"{INSPECTION.format(id_)}/{path}")
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        assert found["parameters"]["inspection_id"] == id_
        return found

    status = get("status")
    assert status["status"]["workflow"]["phase"] == "Pending"
    assert status["status"]["build"]["state"] == status["build"]["state"] == "scheduling"
    assert status["status"]["job"]["completions"] == 3
    assert status["status"]["data_stored"] is False
    assert get("job/batch-size")["batch_size"] == 3
    assert get("build/log")["log"] is None
    assert get("job/logs")["logs"] == []
    assert get("job/log", 202)["error"] == "The run has not ended yet."
    specification = get("specification")
    assert specification["specification"].items() >= SPECIFICATION.items()
    assert specification["created"] == specification["specification"]["@created"]
    error(call(served, "GET", f"{INSPECTION.format(id_)}/job/0/result"), 404)
    error(call(served, "GET", f"{INSPECTION.format(id_)}/job/0/log"), 404)


def test_without_a_script_there_is_no_job(served: Served) -> None:
    id_ = submit(served, script=None)
    status = call(served, "GET", f"{INSPECTION.format(id_)}/status").json()
    assert status["job"] is status["status"]["job"] is None
    assert call(served, "GET", f"{INSPECTION.format(id_)}/job/batch-size").json()["batch_size"] == 0
    error(call(served, "GET", f"{INSPECTION.format(id_)}/job/log"), 404)


@pytest.mark.parametrize(
    "reference", ["nope", "latest", "inspection", "..%2F..%2Fetc", "%00", "a" * 500, "%F0%9F%98%80", "'--"]
)
@pytest.mark.parametrize("below", BELOW)
def test_what_is_not_there_is_not_found(served: Served, reference: str, below: str) -> None:
    submit(served)
    error(call(served, "GET", f"{INSPECTION.format(reference)}/{below}"), 404)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "nope", 404), ("GET", "", 404), ("DELETE", "inspect", 405)]
)
def test_what_amun_never_had_is_refused_in_its_form(
    served: Served, method: str, path: str, status: int
) -> None:
    found = call(served, method, f"/api/v1/{path}")
    error(found, status)
    assert found.headers.get("allow", "") == {405: "GET, HEAD, OPTIONS, POST"}.get(status, "")


@pytest.mark.parametrize("item", ["3", "-1", "x", "1.5", "9" * 30, "%20"])
def test_a_run_that_was_not_asked_for_is_not_found(served: Served, item: str) -> None:
    id_ = submit(served)
    for below in ("result", "log"):
        error(call(served, "GET", f"{INSPECTION.format(id_)}/job/{item}/{below}"), 404)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("base", {"base": None}),
        ("base", {"base": "fedora:30"}),
        ("identifier", {"identifier": "a b"}),
        ("identifier", {"identifier": 1}),
        ("package_manager", {"package_manager": "conda"}),
        ("batch_size", {"batch_size": "many"}),
        ("run.other", {"run": {"other": 1}}),
        ("script", {"script": "https://raw.example/matmul.py"}),
        ("script", {"script": "http://localhost/"}),
        ("script", {"script": "http://127.0.0.1/"}),
    ],
)
def test_a_wrong_specification_is_told_in_both_forms(
    served: Served, path: str, fields: dict[str, Any]
) -> None:
    asked = {**SPECIFICATION, **fields}
    for where in ("inspect", "_debug/generate-dockerfile"):
        if asked["base"] == "fedora:30" and where != "inspect":
            continue
        if path == "identifier" and where != "inspect" and isinstance(fields["identifier"], str):
            continue
        found = error(call(served, "POST", f"/api/v1/{where}", json=asked), 400)
        assert path in [fault["path"] for fault in found["faults"]]
        assert found["parameters"] == asked


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"base": "host", "a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json", 400),
        (b"base=host", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_cannot_be_read_is_told_in_both_forms(
    served: Served, content: bytes, kind: str, status: int
) -> None:
    answer = call(served, "POST", "/api/v1/inspect", content=content, headers={"Content-Type": kind})
    error(answer, status)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(
    [
        "batch_size",
        "build",
        "run",
        "python",
        "files",
        "environment",
        "identifier",
        "packages",
        "python_packages",
    ]
)


@settings(max_examples=60)
@given(st.dictionaries(fields, json_values), st.sampled_from(["inspect", "_debug/generate-dockerfile"]))
def test_whatever_is_posted_is_taken_or_refused(served: Served, data: dict[str, Any], where: str) -> None:
    answer = call(served, "POST", f"/api/v1/{where}", json={"base": "host", **data})
    if answer.status_code >= 300:
        error(answer, 400)


def test_a_dockerfile_can_be_had_for_any_image(served: Served) -> None:
    asked = {
        "base": "fedora:30",
        "packages": ["which"],
        "python_packages": ["six==1.17.0"],
        "script": "#!/bin/sh\n",
    }
    answer = call(served, "POST", "/api/v1/_debug/generate-dockerfile", json=asked)
    assert answer.status_code == 200
    told = answer.json()
    assert told["dockerfile"].startswith("FROM fedora:30\n")
    assert "six==1.17.0" in told["dockerfile"]
    assert told["parameters"]["specification"].items() >= asked.items()
    own = call(served, "POST", "/api/v1/_debug/generate-dockerfile", json={"base": "host"}).json()[
        "dockerfile"
    ]
    assert re.match(r"FROM [a-z]+(:[0-9.]+)?\n", own)


def test_every_inspection_is_on_one_page(served: Served) -> None:
    """Amun's second page repeated its first."""
    token = served.new_token(namespace="pages")
    ids = [
        served.call("POST", "/api/v1/inspect", token=token, json=SPECIFICATION).json()["inspection_id"]
        for _ in range(7)
    ]
    native = served.call("POST", "/v1/inspections", token=token, json={"run": {"command": ["true"]}}).json()[
        "id"
    ]

    def page(**asked: Any) -> list[str]:
        answer = served.call("GET", "/api/v1/inspect", token=token, params=asked)
        told = answer.json()
        assert told["parameters"] == {"page": 1, "limit": 100, **asked}
        found: list[str] = told["inspections"]
        return found

    everything = [native, *reversed(ids)]
    assert page() == everything
    assert [page(page=number, limit=3) for number in (1, 2, 3, 4)] == [
        everything[:3],
        everything[3:6],
        everything[6:],
        [],
    ]
    assert served.call("GET", "/api/v1/inspect?limit=1000", token=token).json()["parameters"]["limit"] == 100
    assert (
        served.call("GET", f"{INSPECTION.format(native)}/job/batch-size", token=token).json()["batch_size"]
        == 1
    )


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "limit=0", "page=x", "limit=1.5", "page=999999", "page=1e3", "page="]
)
def test_a_page_that_cannot_be_is_refused(served: Served, query: str) -> None:
    key = query.partition("=")[0]
    assert key in error(call(served, "GET", f"/api/v1/inspect?{query}"), 400)["parameters"]


def test_who_has_no_token_sees_the_namespace_of_the_guests_alone(served: Served) -> None:
    id_ = submit(served)
    theirs = {"headers": {"Origin": "http://elsewhere.example"}}
    assert call(served, "GET", f"{INSPECTION.format(id_)}/status").status_code == 200
    error(call(served, "GET", f"{INSPECTION.format(id_)}/status", token=served.token), 404)
    error(call(served, "GET", "/api/v1/inspect", token="djed_0_bad"), 401)
    error(call(served, "GET", "/api/v1/inspect", **theirs), 401)
    error(call(served, "POST", "/api/v1/inspect", json=SPECIFICATION, **theirs), 401)
    assert served.call("GET", "/v1/inspections", token="").status_code == 401, (
        "only Amun's calls are for guests"
    )


def test_without_a_namespace_for_guests_only_version_and_health_answer(closed: Served) -> None:
    for path in ("/api/v1/version", "/readiness", "/liveness"):
        assert call(closed, "GET", path).status_code == 200
    for path in (
        "/",
        "/api/v1",
        "/api/v1/ui",
        "/api/v1/inspect",
        *(f"{INSPECTION.format('x')}/{below}" for below in BELOW),
    ):
        assert "WWW-Authenticate" in call(closed, "GET", path).headers
        error(call(closed, "GET", path), 401)
    for path in ("inspect", "_debug/generate-dockerfile"):
        error(call(closed, "POST", f"/api/v1/{path}", json=SPECIFICATION), 401)
    reader = closed.new_token("read")
    assert closed.call("GET", "/api/v1/inspect", token=reader).status_code == 200
    assert closed.call("POST", "/api/v1/inspect", token=reader, json=SPECIFICATION).status_code == 403
