"""Calls: what is tried again and what not, what is waited for, and what a failure says."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from djed.client.connection import Call, Connection, place
from djed.errors import (
    ConfigError,
    DjedError,
    NotFoundError,
    RateError,
    ServerError,
    StoreBusyError,
    TokenError,
)

URL = "https://djed.example"
TOKEN = "djed_0123456789abcdef_secret"
GET = Call(method="GET", path="/v1/nodes")
POST = Call(method="POST", path="/v1/groups", body={})
KEYED = Call(method="POST", path="/v1/groups", body={}, key="k")

Answering = httpx2.Response | Exception
Make = Callable[..., tuple[Connection, list[httpx2.Request], list[float]]]


def refusal(status: int, kind: str, **headers: str) -> httpx2.Response:
    body = {"type": f"urn:djed:error:{kind}", "title": "T", "status": status, "detail": "A sentence."}
    return httpx2.Response(status, json=body, headers={"content-type": "application/problem+json", **headers})


@pytest.fixture
def make() -> Iterator[Make]:
    """A connection whose answers are those given, the last one again and again; its requests; and what it waited."""
    opened: list[Connection] = []

    def build(*answers: Answering, url: str = URL) -> tuple[Connection, list[httpx2.Request], list[float]]:
        left, seen, pauses = list(answers), [], list[float]()

        def handle(request: httpx2.Request) -> httpx2.Response:
            seen.append(request)
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)

        opened.append(Connection(url, TOKEN, transport=httpx2.MockTransport(handle), pause=pauses.append))
        return opened[-1], seen, pauses

    yield build
    for connection in opened:
        connection.close()


GOOD = httpx2.Response(200, json={"items": []})
BUSY = refusal(503, "store-busy")
GONE = httpx2.ConnectError("refused")
CUT = httpx2.ReadError("reset")


@pytest.mark.parametrize(
    ("call", "trouble", "tries"),
    [
        (GET, BUSY, 2),
        (GET, GONE, 2),
        (GET, CUT, 2),
        (GET, httpx2.Response(502), 2),
        (KEYED, CUT, 2),
        (KEYED, BUSY, 2),
        (POST, GONE, 2),
        (POST, refusal(429, "rate"), 2),
        (POST, CUT, 1),
        (POST, BUSY, 1),
        (GET, refusal(500, "internal-server-error"), 1),
        (GET, refusal(404, "not-found"), 1),
        (GET, refusal(503, "missing-part"), 1),
        (GET, refusal(503, "store", **{"retry-after": "1"}), 2),
    ],
)
def test_what_is_safe_to_repeat_is_repeated(make: Make, call: Call, trouble: Answering, tries: int) -> None:
    connection, seen, _ = make(trouble, GOOD)
    if tries == 1:
        with pytest.raises(DjedError):
            connection.send(call)
    else:
        assert connection.json(call) == {"items": []}
    assert len(seen) == tries


def test_it_is_tried_four_times_with_longer_and_longer_pauses(make: Make) -> None:
    connection, seen, pauses = make(GONE)
    with pytest.raises(ServerError, match=r"https://djed\.example cannot be reached"):
        connection.send(GET)
    assert len(seen) == 4
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_while_it_is_away_each_call_is_tried_once(make: Make) -> None:
    connection, seen, pauses = make(*[GONE] * 6, GOOD, GONE)
    for _ in range(3):
        with pytest.raises(ServerError):
            connection.send(GET)
    assert (len(seen), len(pauses)) == (6, 3)
    connection.send(GET)
    with pytest.raises(ServerError):
        connection.send(GET)
    assert (len(seen), len(pauses)) == (11, 6)


def test_the_server_says_when_to_come_back(make: Make) -> None:
    connection, _, pauses = make(refusal(429, "rate", **{"retry-after": "7"}), GOOD)
    connection.send(GET)
    assert pauses == [7.0]


def test_what_would_take_too_long_is_told_at_once(make: Make) -> None:
    connection, seen, _ = make(refusal(429, "rate", **{"retry-after": "3600"}))
    with pytest.raises(RateError) as caught:
        connection.send(GET)
    assert (len(seen), caught.value.after) == (1, 3600.0)


def test_a_retried_call_has_the_same_key(make: Make) -> None:
    connection, seen, _ = make(CUT, GOOD)
    connection.send(KEYED)
    assert [request.headers["idempotency-key"] for request in seen] == ["k", "k"]


def test_the_token_is_sent_and_never_told(make: Make) -> None:
    for trouble in (GONE, CUT, httpx2.Response(500), httpx2.Response(302, headers={"location": "/"}), BUSY):
        connection, seen, _ = make(trouble)
        with pytest.raises(DjedError) as caught:
            connection.send(GET)
        assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert "secret" not in f"{caught.value.message}{caught.value.hint}"


def test_a_redirection_is_not_followed(make: Make) -> None:
    connection, seen, _ = make(httpx2.Response(307, headers={"location": "https://evil.example/"}))
    with pytest.raises(ServerError, match="is not where the server is"):
        connection.send(GET)
    assert [request.url.host for request in seen] == ["djed.example"]


def test_what_the_server_refuses_is_the_engine_s_error(make: Make) -> None:
    connection, _, _ = make(refusal(401, "token"))
    with pytest.raises(TokenError, match=r"A sentence\."):
        connection.send(GET)
    connection, _, _ = make(BUSY)
    with pytest.raises(StoreBusyError):
        connection.send(GET)


def test_another_kind_of_server_is_named(make: Make) -> None:
    connection, _, _ = make(httpx2.Response(404, text="<html>"))
    with pytest.raises(ServerError, match="answered GET /v1/nodes with status 404") as caught:
        connection.send(GET)
    assert "djed doctor" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["<html>", "", "[" * 100_000])
def test_an_answer_that_is_no_json_is_a_sentence(make: Make, text: str) -> None:
    connection, _, _ = make(httpx2.Response(200, text=text))
    with pytest.raises(ServerError, match="cannot be read"):
        connection.json(GET)


def test_an_endless_answer_is_left(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("djed.client.connection._MOST", 10)
    connection, seen, _ = make(httpx2.Response(200, content=b"x" * 11))
    with pytest.raises(ServerError, match="more than 10 B"):
        connection.send(GET)
    assert len(seen) == 1


def test_a_certificate_that_is_not_trusted_is_not_tried_again(make: Make) -> None:
    error = httpx2.ConnectError("tls")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed")
    connection, seen, _ = make(error)
    with pytest.raises(ServerError, match=r"certificate of https://djed\.example is not trusted"):
        connection.send(GET)
    assert len(seen) == 1


def test_silence_is_called_by_its_name(make: Make) -> None:
    connection, _, _ = make(httpx2.ReadTimeout("slow"))
    with pytest.raises(ServerError, match="did not answer within 30"):
        connection.send(GET)


WRONG = (
    "https://me:pass@djed.example", "ftp://djed.example", "https://", "djed.example", "http://a..b", "http://[::1", "http://h:99999",
    "http://" + "a" * 70 + ".example",
)  # fmt: skip


@pytest.mark.parametrize("url", WRONG)
def test_an_address_that_is_none_is_a_sentence(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Connection(url, None)
    assert "pass" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("SSL_CERT_FILE", "/no/such/file"), ("HTTPS_PROXY", "nonsense://x"), ("ALL_PROXY", "http://[::1")],
)
def test_a_wrong_variable_is_a_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="No connection can be made") as caught:
        Connection(URL, None)
    assert name in (caught.value.hint or "")


@pytest.mark.parametrize("token", ["a b", "a\r\nHost: evil.example", "\u00e4"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_told(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Connection(URL, token)
    assert token not in caught.value.message


def test_a_server_may_lie_below_a_path(make: Make) -> None:
    connection, seen, _ = make(GOOD, url="https://djed.example/tools/djed/")
    connection.send(GET)
    assert str(seen[0].url) == "https://djed.example/tools/djed/v1/nodes"


def test_a_part_of_a_path_is_one_part() -> None:
    assert place("jobs", "a/../b?c#d%") == "/v1/jobs/a%2F..%2Fb%3Fc%23d%25"


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_a_part_that_leads_elsewhere_names_nothing(part: str) -> None:
    with pytest.raises(NotFoundError, match="There is no job"):
        place("jobs", part, "log")


def test_what_is_not_given_is_not_asked_for(make: Make) -> None:
    connection, seen, _ = make(GOOD)
    params: dict[str, Any] = {"state": ["done", "failed"], "name": None, "limit": 5}
    connection.send(Call(method="GET", path="/v1/inspections", params=params))
    assert str(seen[0].url.query, "ascii") == "state=done&state=failed&limit=5"
