"""The first layer, without a socket: what it lets in, and what it answers by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from djed.api.protocol import PatientProtocol, patient


class Transport:
    """Remembers what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


Connect = Callable[[], tuple[PatientProtocol, Transport]]


async def run(test: Callable[[Connect], Any], *, connections: int) -> None:
    kind = patient(patience=60, connections=connections)
    config = uvicorn.Config(app, http=kind, ws="none", log_config=None)
    config.load()
    state = ServerState()

    def connect() -> tuple[PatientProtocol, Transport]:
        made = kind(config=config, server_state=state, app_state={})
        transport = Transport()
        made.connection_made(cast("asyncio.Transport", transport))
        return made, transport

    await test(connect)


def told(transport: Transport) -> tuple[int, dict[str, Any]]:
    head, _, body = transport.written.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    return int(head.split()[1]), json.loads(body)


def test_a_head_in_pieces_is_a_head() -> None:
    async def test(connect: Connect) -> None:
        connection, transport = connect()
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n":
            connection.data_received(bytes([byte]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert transport.written.startswith(b"HTTP/1.1 204 ")
        assert not transport.closed
        connection.connection_lost(None)

    asyncio.run(run(test, connections=2))


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_end_is_given_up(sent: bytes) -> None:
    async def test(connect: Connect) -> None:
        connection, transport = connect()
        if sent:
            connection.data_received(sent)
        connection._time_over()
        assert transport.closed
        if sent:
            status, problem = told(transport)
            assert status == 408
            assert problem["status"] == 408
        else:
            assert transport.written == b""
        connection.connection_lost(None)

    asyncio.run(run(test, connections=2))


def test_a_large_head_is_refused() -> None:
    async def test(connect: Connect) -> None:
        connection, transport = connect()
        connection.data_received(b"GET / HTTP/1.1\r\n")
        for _ in range(80):
            connection.data_received(b"X-A: " + b"a" * 1000 + b"\r\n")
        assert told(transport)[0] == 431
        connection.data_received(b"more")
        connection.connection_lost(None)

    asyncio.run(run(test, connections=2))


def test_one_connection_too_many_is_refused_at_once() -> None:
    async def test(connect: Connect) -> None:
        first, _ = connect()
        second, transport = connect()
        assert told(transport)[0] == 503
        assert b"Retry-After" in transport.written
        second.connection_lost(None)
        first.connection_lost(None)
        third, again = connect()
        assert not again.closed
        third.connection_lost(None)

    asyncio.run(run(test, connections=1))


def test_what_is_no_http_is_refused() -> None:
    async def test(connect: Connect) -> None:
        connection, transport = connect()
        connection.data_received(b"\x16\x03\x01\r\n\r\n")
        status, problem = told(transport)
        assert status == 400
        assert problem["detail"] == "This is not a call of HTTP."
        connection.connection_lost(None)

    asyncio.run(run(test, connections=1))


def test_a_body_that_nobody_reads_is_dropped_only_for_a_while() -> None:
    async def test(connect: Connect) -> None:
        connection, transport = connect()
        connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        for _ in range(3):
            await asyncio.sleep(0)
        assert transport.written.startswith(b"HTTP/1.1 204 ")
        connection.data_received(b"y")
        assert not transport.closed
        assert connection._timer is not None
        connection._time_over()
        assert transport.closed
        connection.connection_lost(None)
        assert connection._timer is None

    asyncio.run(run(test, connections=1))
