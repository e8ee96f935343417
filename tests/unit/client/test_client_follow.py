"""Following a server: every event once, in order, whatever happens to the connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from djed.client import Client
from djed.errors import NotFoundError, ServerError, TokenError
from djed.model.codec import encode
from djed.model.inspection import Event, Inspection
from djed.model.request import Request

Streaming = Callable[..., httpx2.Response]

RUNNING = Inspection(id="one", name="n", state="running", request=Request(), created_at=1.0, updated_at=1.0)
FIRST, SECOND = Event(seq=1, inspection="one", kind="state"), Event(seq=2, inspection="one", kind="job")
LAST = Event(seq=3, inspection="one", kind="done", data={"state": "done"})
STREAM = "GET /v1/inspections/one/stream"


def known(script: Any, *items: Inspection) -> None:
    for item in items:
        script.on(f"GET /v1/inspections/{item.id}", encode(item))


def events(found: Iterable[Event | None]) -> list[Event]:
    return [event for event in found if event is not None]


def asked_from(script: Any) -> list[str | None]:
    return [request.headers.get("last-event-id") for request in script.seen if "stream" in request.url.path]


def test_it_ends_with_the_last_event(client: Client, script: Any, streaming: Streaming) -> None:
    known(script, RUNNING)
    script.on(STREAM, streaming(FIRST, SECOND, LAST))
    assert events(client.follow(["one"])) == [FIRST, SECOND, LAST]


def test_a_lost_connection_is_taken_up_where_it_was(
    client: Client, script: Any, streaming: Streaming
) -> None:
    known(script, RUNNING)
    cut = httpx2.ReadError("cut")
    script.on(
        STREAM,
        streaming(FIRST, broken=cut),
        httpx2.ConnectError("refused"),
        httpx2.Response(503),
        streaming(SECOND),
        streaming(LAST),
    )
    assert events(client.follow(["one"])) == [FIRST, SECOND, LAST]
    assert asked_from(script)[:5] == [None, "0.1", "0.1", "0.1", "0.2"]


def test_it_goes_on_from_where_the_stream_was_opened(
    client: Client, script: Any, streaming: Streaming
) -> None:
    known(script, RUNNING)
    script.on(STREAM, streaming(opening="0.7"), streaming(LAST))
    assert events(client.follow(["one"])) == [LAST]
    assert asked_from(script)[:2] == [None, "0.7"]


def test_it_begins_behind_a_position(client: Client, script: Any, streaming: Streaming) -> None:
    known(script, RUNNING)
    script.on(STREAM, streaming(LAST))
    assert events(client.follow(["one"], after="0.2")) == [LAST]
    assert asked_from(script)[0] == "0.2"


def test_what_is_refused_for_good_is_raised(
    client: Client, script: Any, refusing: Callable[..., httpx2.Response]
) -> None:
    known(script, RUNNING)
    script.on(STREAM, refusing(401, "token", "This token has expired."))
    with pytest.raises(TokenError, match="expired"):
        list(client.follow(["one"]))
    with pytest.raises(NotFoundError):
        list(client.follow(["other"]))


def test_a_server_that_stays_away_is_given_up(
    client: Client, script: Any, streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("djed.client.follow.PATIENCE", 0.0)
    known(script, RUNNING)
    script.on(STREAM, streaming(FIRST), httpx2.ConnectError("refused"))
    with pytest.raises(ServerError, match="cannot be reached"):
        list(client.follow(["one"]))


def test_nonsense_in_a_stream_is_a_sentence(client: Client, script: Any) -> None:
    known(script, RUNNING)
    script.on(STREAM, httpx2.Response(200, content=b"data: {\n\n"))
    with pytest.raises(ServerError, match="cannot be read"):
        list(client.follow(["one"]))


def test_a_log_is_a_wake_up_and_what_is_unknown_is_nothing(
    client: Client, script: Any, streaming: Streaming
) -> None:
    known(script, RUNNING)
    noise = b'event: log\ndata: {"text": "x"}\n\nevent: attempt\ndata: {"job": "j"}\n\n'
    parts = [noise, *streaming(LAST).stream]  # type: ignore[misc]
    script.on(STREAM, httpx2.Response(200, content=b"".join(parts)))
    found = list(client.follow(["one"], logs=True))
    assert events(found) == [LAST]
    assert None in found
    assert script.asked[-1] == f"{STREAM}?logs=true"


def test_a_stream_that_says_all_was_told_is_believed(client: Client, script: Any) -> None:
    known(script, RUNNING)
    script.on(STREAM, httpx2.Response(204))
    assert events(client.follow(["one"])) == []


def test_what_is_over_is_read_from_its_history(client: Client, script: Any) -> None:
    known(script, replace(RUNNING, state="done"))
    script.on(
        "GET /v1/inspections/one/events",
        {"items": [encode(FIRST)], "next": "0.1"},
        {"items": [encode(LAST)], "next": None},
    )
    assert list(client.follow(["one"])) == [FIRST, LAST]
    assert script.asked[-1] == "GET /v1/inspections/one/events?after=0.1"


def test_several_are_followed_by_one_stream_without_a_gap_or_an_echo(
    client: Client, script: Any, streaming: Streaming
) -> None:
    other = [replace(event, inspection="two", seq=event.seq + 10) for event in (FIRST, LAST)]
    stranger = replace(FIRST, inspection="three", seq=20)
    known(script, RUNNING, replace(RUNNING, id="two"))
    script.on("GET /v1/stream", streaming(SECOND, stranger, other[0], LAST, other[1], opening="0.1"))
    script.on("GET /v1/inspections/one/events", {"items": [encode(FIRST), encode(SECOND)]})
    script.on("GET /v1/inspections/two/events", {"items": []})
    assert events(client.follow(["one", "two"])) == [FIRST, SECOND, other[0], LAST, other[1]]


def test_several_that_are_over_by_then_need_no_stream_any_more(
    client: Client, script: Any, streaming: Streaming
) -> None:
    known(script, RUNNING, replace(RUNNING, id="two"))
    script.on("GET /v1/stream", streaming())
    script.on("GET /v1/inspections/one/events", {"items": [encode(LAST)]})
    script.on("GET /v1/inspections/two/events", {"items": [encode(replace(LAST, inspection="two", seq=9))]})
    assert [event.inspection for event in events(client.follow(["one", "two"]))] == ["one", "two"]


def test_waiting_is_following_to_the_end(client: Client, script: Any, streaming: Streaming) -> None:
    script.on("GET /v1/inspections/one", encode(RUNNING), encode(replace(RUNNING, state="done")))
    script.on(STREAM, streaming(LAST))
    assert [item.state for item in client.wait(["one"])] == ["done"]


def test_leaving_in_the_middle_ends_the_thread(client: Client, script: Any, streaming: Streaming) -> None:
    known(script, RUNNING)
    script.on(STREAM, streaming(FIRST))
    following = client.follow(["one"])
    assert next(event for event in following if event is not None) == FIRST
    following.close()  # type: ignore[attr-defined]
    assert [thread.name for thread in threading.enumerate() if thread.name == "djed-follow"] == []


def test_events_are_in_order_and_bounded(
    client: Client, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("djed.client.client._MOST_EVENTS", 2)
    script.on("GET /v1/inspections/one/events", {"items": [encode(FIRST), encode(LAST)]})
    script.on("GET /v1/inspections/two/events", {"items": [encode(replace(SECOND, inspection="two"))]})
    assert [event.seq for event in client.events(["one", "two"], after="0.0")] == [1, 2]
