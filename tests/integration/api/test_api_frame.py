"""What is so with every call: errors as problems, ids, safe headers, methods."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from djed import __version__
from djed.api import problems
from djed.api.limits import Rates
from djed.errors import (
    ConflictError,
    DjedError,
    Fault,
    RateError,
    RequestError,
    RunnerError,
    StoreBusyError,
    StoreFullError,
    TokenError,
)

Make = Callable[..., FastAPI]


def failing(make: Make, error: BaseException) -> TestClient:
    """An application with a route that fails like that."""
    app = make()

    @app.get("/fails")
    def fails() -> None:
        raise error

    return TestClient(app, raise_server_exceptions=False)


def test_an_error_says_what_is_wrong_where_and_what_to_do(make: Make) -> None:
    fault = Fault(path="run.repeat", message="is no number", line=3, hint="Write 5.")
    answer = failing(make, RequestError("It is wrong.", faults=(fault,), hint="See there.")).get("/fails")
    assert answer.status_code == 422
    told = answer.json()
    assert told.pop("request_id") == answer.headers["x-request-id"]
    assert told == {
        "type": "urn:djed:error:request",
        "title": "The request is wrong",
        "status": 422,
        "detail": "It is wrong.",
        "hint": "See there.",
        "faults": [{"path": "run.repeat", "message": "is no number", "line": 3, "hint": "Write 5."}],
    }


@pytest.mark.parametrize(
    ("error", "status", "name", "later"),
    [
        (ConflictError("x"), 409, "conflict", False),
        (TokenError("x"), 401, "token", False),
        (RateError("x", after=2.6), 429, "rate", True),
        (StoreBusyError("x"), 503, "store-busy", True),
        (StoreFullError("x"), 507, "store-full", True),
        (RunnerError("x", transient=True), 502, "runner", True),
        (RunnerError("x"), 502, "runner", False),
        (DjedError("x"), 500, "djed", False),
    ],
)
def test_each_error_has_its_status_and_says_whether_to_try_again(
    make: Make, error: DjedError, status: int, name: str, later: bool
) -> None:
    answer = failing(make, error).get("/fails")
    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:djed:error:{name}"
    assert ("retry-after" in answer.headers) == later


def test_a_bug_is_in_the_log_and_not_in_the_answer(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="djed.api.limits"):
        answer = failing(make, ValueError("the secret of the house")).get("/fails")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    call = answer.headers["x-request-id"]
    assert answer.json()["request_id"] == call
    assert call in caplog.text
    assert "the secret of the house" in caplog.text


def test_a_message_of_any_letters_is_told(make: Make) -> None:
    answer = failing(make, RequestError("half of a pair: \ud800\r\n\0")).get("/fails")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "half of a pair: \ud800\r\n\0"


def test_an_unknown_path_is_a_problem_too(client: TestClient) -> None:
    answer = client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    assert answer.json()["detail"] == "There is nothing at this path."


@pytest.mark.parametrize("path", ["/v1/%00", "/healthz/", "/v1/%2e%2e/healthz", "/" + "a" * 60_000])
def test_paths_are_what_they_are(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_parameter_that_does_not_fit_is_told_by_name(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/v1/audit?limit=many", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["path"] == "limit"
    assert "limit" in answer.json()["detail"]


def test_each_call_has_an_id_of_ours(client: TestClient) -> None:
    ids = {
        client.get("/healthz", headers={"X-Request-Id": "theirs"}).headers["x-request-id"] for _ in range(3)
    }
    assert len(ids) == 3
    assert "theirs" not in ids


def test_answers_are_safe_to_show_and_not_kept(client: TestClient) -> None:
    for path in ("/healthz", "/v1/nothing", "/v1/whoami"):
        told = client.get(path).headers
        assert told["x-content-type-options"] == "nosniff"
        assert told["content-security-policy"].startswith("default-src 'none'")
        assert told["cache-control"] == "no-store"
        assert told.get_list("x-request-id") == [told["x-request-id"]]


def test_head_is_answered_wherever_get_is(client: TestClient) -> None:
    answer = client.head("/v1/version")
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == str(len(client.get("/v1/version").content))
    assert client.head("/v1/nothing").status_code == 404


def test_options_tell_the_methods_of_all_routes_of_a_path(client: TestClient) -> None:
    answer = client.options("/v1/inspections")
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert client.options("/v1/nothing").status_code == 404


def test_a_method_that_is_not_there_is_told_which_are(client: TestClient) -> None:
    answer = client.put("/v1/inspections")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    assert client.request("BREW", "/v1/version").status_code == 405


def test_the_version_is_ours(client: TestClient) -> None:
    assert client.get("/v1/version").json()["version"] == __version__


def test_the_schema_is_that_of_request_files(client: TestClient, headers: dict[str, str]) -> None:
    assert "environment" in json.dumps(client.get("/v1/schema", headers=headers).json())


def test_a_server_that_stops_is_not_ready_but_healthy(make: Make) -> None:
    app = make()
    told: list[str] = []
    app.state.djed.ending.append(lambda: told.append("end"))
    client = TestClient(app)
    app.state.djed.stop()
    app.state.djed.stop()
    assert told == ["end"]
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_a_store_that_does_not_answer_is_not_ready_and_says_no_more(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = make()

    def gone() -> bool:
        raise StoreBusyError("The store /secret/place is locked.")

    monkeypatch.setattr("djed.store.access.any_tokens", lambda _: gone())
    answer = TestClient(app).get("/readyz")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert answer.json()["detail"] == "Another process held the store for too long."
    assert "/secret/place" in caplog.text


def test_a_bucket_fills_again_and_is_forgotten_when_full() -> None:
    rates = Rates(10)
    for _ in range(20):
        rates.take("a", 0.0)
    with pytest.raises(RateError) as raised:
        rates.take("a", 0.0)
    assert raised.value.after == pytest.approx(0.1)
    rates.take("a", 0.1)
    for number in range(30_000):
        rates.take(str(number), 10.0)
    assert len(rates._buckets) <= 10_000


def test_the_document_tells_what_may_go_wrong_and_what_is_needed(
    client: TestClient, headers: dict[str, str]
) -> None:
    told = client.get("/v1/openapi.json", headers=headers).json()
    operations = {
        f"{method} {path}": operation
        for path, item in told["paths"].items()
        for method, operation in item.items()
    }
    assert {"401", "403", "404", "422", "429", "503"} <= operations["get /v1/inspections"]["responses"].keys()
    assert operations["delete /v1/inspections/{reference}"]["x-scope"] == "manage"
    assert operations["get /v1/tokens"]["x-scope"] == "admin"
    needless = {name for name, item in operations.items() if "x-scope" not in item}
    assert needless == {"get /healthz", "get /readyz", "get /v1/version"}
    assert {name for name, item in operations.items() if item.get("security") == []} == needless
    names = [item["operationId"] for item in operations.values()]
    assert len(names) == len(set(names))
    assert "HTTPValidationError" not in json.dumps(told)
