"""A server that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx2
import pytest

from djed.client import Client
from djed.model.codec import encode
from djed.model.inspection import Event

Answer = Any
"""A value that becomes JSON, a response, or an exception."""


class Script(httpx2.BaseTransport):
    """Answers by method and path: each list of answers in order, its last one again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[httpx2.Request] = []

    def on(self, call: str, *answers: Answer) -> None:
        self.answers[call] = list(answers)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.seen.append(request)
        left = self.answers.get(f"{request.method} {request.url.raw_path.decode().partition('?')[0]}")
        if left is None:
            return problem(404, "not-found", "There is no such thing.")
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            return httpx2.Response(answer.status_code, headers=answer.headers, stream=answer.stream)
        return httpx2.Response(200, json=answer)

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.seen]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.seen if request.content]


class Parts(httpx2.SyncByteStream):
    """A body that comes in parts and may break off."""

    def __init__(self, parts: Iterable[bytes], broken: Exception | None = None) -> None:
        self.parts = list(parts)
        self.broken = broken

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.broken is not None:
            raise self.broken


def problem(status: int, kind: str, detail: str) -> httpx2.Response:
    body = {"type": f"urn:djed:error:{kind}", "title": "T", "status": status, "detail": detail}
    return httpx2.Response(status, json=body, headers={"content-type": "application/problem+json"})


def told(*events: Event, broken: Exception | None = None, opening: str = "") -> httpx2.Response:
    """A stream that tells these events."""
    frames = [f"retry: 1\nid: {opening}\n\n"]
    for event in events:
        data = json.dumps({**encode(event), "position": event.position})
        frames.append(f"event: {event.kind}\nid: {event.position}\ndata: {data}\n\n")
    parts = [frame.encode() for frame in frames]
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Parts(parts, broken))


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of that server, which waits for nothing."""
    monkeypatch.setattr("djed.client.follow._FIRST_PAUSE", 0.0)
    with Client("https://djed.example", "djed_token", transport=script) as made:
        made._connection._pause = lambda seconds: None
        yield made


@pytest.fixture
def streaming() -> Callable[..., httpx2.Response]:
    return told


@pytest.fixture
def refusing() -> Callable[[int, str, str], httpx2.Response]:
    return problem
