"""Who may call, and what others see."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from djed.model.principal import SCOPES, Scope
from djed.service.admin import Admin

WHOAMI = "/v1/whoami"


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/version"])
def test_without_a_token_only_health_and_version_answer(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_without_a_token_nothing_else_answers(client: TestClient) -> None:
    answer = client.get(WHOAMI)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="djed"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:djed:error:token"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_allows_what_those_before_it_allow(client: TestClient, admin: Admin, scope: Scope) -> None:
    _, text = admin.create_token("some", scope=scope)
    needed = {
        "read": client.get(WHOAMI, headers=bearer(text)),
        "admin": client.get("/v1/tokens", headers=bearer(text)),
    }
    assert needed["read"].status_code == 200
    assert needed["admin"].status_code == (200 if scope == "admin" else 403)
    if scope != "admin":
        assert "'admin'" in needed["admin"].json()["detail"]


def test_a_token_says_whose_it_is(client: TestClient, admin: Admin) -> None:
    token, text = admin.create_token("ci", namespace="team", scope="read")
    told = client.get(WHOAMI, headers=bearer(text)).json()
    assert (told["name"], told["namespace"], told["scope"], told["token"]) == ("ci", "team", "read", token.id)


def test_a_revoked_token_opens_nothing_any_more(client: TestClient, admin: Admin) -> None:
    token, text = client.app.state.djed.admin.create_token("short")  # type: ignore[attr-defined]
    assert client.get(WHOAMI, headers=bearer(text)).status_code == 200
    client.app.state.djed.admin.revoke(token.id)  # type: ignore[attr-defined]
    answer = client.get(WHOAMI, headers=bearer(text))
    assert answer.status_code == 401
    assert answer.json()["detail"] == "This token was revoked."


def test_a_token_is_expired_the_moment_it_expires(
    client: TestClient, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, text = admin.create_token("brief", ttl=60)
    assert client.get(WHOAMI, headers=bearer(text)).status_code == 200
    assert token.expires_at is not None
    monkeypatch.setattr("djed.service.admin.time.time", lambda: token.expires_at)
    answer = client.get(WHOAMI, headers=bearer(text))
    assert answer.status_code == 401
    assert answer.json()["detail"] == "This token has expired."


def test_what_is_no_token_is_refused(client: TestClient, admin: Admin) -> None:
    token, text = admin.create_token("good")
    _, other = admin.create_token("other")
    wrong = [
        "",
        "x",
        text[:-1],
        text + "x",
        f"djed_{token.id}_{other.rsplit('_', 1)[-1]}",
        f"djed_{'0' * 16}_{text.rsplit('_', 1)[-1]}",
        "djed_" + "a" * 100_000,
        "'; DROP TABLE tokens; --",
    ]
    for guess in wrong:
        assert client.get(WHOAMI, headers=bearer(guess)).status_code == 401, guess


@pytest.mark.parametrize(
    "header",
    [
        b"Basic " + base64.b64encode(b"a:b"),
        b"Bearer",
        b"\xff\xfe",
        b"bearer \xff",
        b"Bearer djed_\xc3\xa9",
        b"Token x",
    ],
)
def test_other_kinds_of_authorization_are_no_tokens(client: TestClient, header: bytes) -> None:
    answer = client.get(WHOAMI, headers=[(b"authorization", header)])
    assert answer.status_code == 401


def test_a_bad_token_matters_only_where_one_is_needed(client: TestClient) -> None:
    assert client.get("/v1/version", headers=bearer("x")).status_code == 200


def test_in_open_mode_nobody_needs_a_token(make: Callable[..., FastAPI]) -> None:
    client = TestClient(make(serve__open="true"), base_url="http://127.0.0.1:8570")
    told = client.get(WHOAMI).json()
    assert (told["name"], told["scope"], told["namespace"]) == ("open", "admin", "default")


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8570", None, 200),
        ("localhost", None, 200),
        ("LOCALHOST:1", None, 200),
        ("[::1]:8570", None, 200),
        ("localhost:8570", "http://localhost:8570", 200),
        ("localhost:8570", "http://localhost:9000", 403),
        ("localhost:8570", "https://elsewhere.example", 403),
        ("localhost:8570", "null", 403),
        ("elsewhere.example", None, 403),
        ("elsewhere.example:8570", "http://elsewhere.example:8570", 403),
        ("127.0.0.1.elsewhere.example", None, 403),
        ("10.0.0.1", None, 403),
        ("", None, 403),
        ("[::1", None, 200),
        ("[localhost", None, 200),
    ],
)
def test_open_mode_is_not_for_pages_of_others(
    make: Callable[..., FastAPI], host: str, origin: str | None, status: int
) -> None:
    client = TestClient(make(serve__open="true"))
    headers = {"Host": host, **({"Origin": origin} if origin else {})}
    assert client.get(WHOAMI, headers=headers).status_code == status


def test_too_many_calls_are_told_when_to_come_back(
    make: Callable[..., FastAPI], headers: dict[str, str]
) -> None:
    client = TestClient(make(serve__rate=1))
    answers = [client.get(WHOAMI, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    late = answers[-1]
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) >= 1
    assert late.json()["type"] == "urn:djed:error:rate"
    # Those without that token have a rate of their own.
    assert client.get("/v1/version").status_code == 200
