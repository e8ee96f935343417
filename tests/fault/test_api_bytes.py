"""Bytes on the socket that no decent client sends: the answer is a sentence, and the others are served meanwhile."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Served, server

PATIENCE = 1.0
MANY = 10_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environ = {"DJED_SERVE_PATIENCE": f"{PATIENCE:g}s", "DJED_SERVE_RATE": "100000"}
    with server(tmp_path_factory.mktemp("served") / "data", "--no-work", environ=environ) as made:
        yield made
        assert "Traceback" not in (made.data.parent / "data.log").read_text()


def connect(served: Served) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def say(served: Served, data: bytes) -> tuple[int, dict[str, Any], bytes]:
    """Status, problem and raw answer to these bytes, after which the server closes."""
    with connect(served) as connection:
        connection.sendall(data)
        raw = rest(connection)
    head, _, body = raw.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    told = json.loads(body) if b"json" in head else {}
    return status, told, raw


def get(served: Served, path: bytes, *headers: bytes) -> bytes:
    lines = [b"GET " + path + b" HTTP/1.1", b"Host: x", b"Authorization: Bearer " + served.token.encode()]
    return b"\r\n".join([*lines, *headers, b"Connection: close", b"", b""])


def still_serves(served: Served) -> None:
    assert served.get("/v1/version")["name"] == "djed"


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of TLS
        b"HELO there\r\n\r\n",
        b"GET /v1/version HTTP/9.9\r\n\r\n",
        b"GET /v1/version\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/version HTTP/1.1\r\nHost: x\r\nBad\0Name: x\r\n\r\n",
        b"GET /v1/version HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n",
        b"GET /v1/version HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/inspections HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /v1/inspections HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/inspections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n",
        b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(served: Served, data: bytes) -> None:
    status, told, raw = say(served, data)
    assert status in {400, 401, 404}, raw
    assert told["status"] == status
    assert told["detail"].endswith(".")
    still_serves(served)


PATHS = [
    b"/..",
    b"/../../etc/passwd",
    b"/v1/inspections/..",
    b"/v1/inspections/../../etc/passwd",
    b"/v1/inspections/%2e%2e",
    b"/v1/inspections/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    b"/v1/inspections/%00",
    b"/v1/inspections/a%00b",
    b"/v1/inspections/%0d%0aSet-Cookie:%20a=b",
    b"/v1/inspections/%ff%fe",
    b"/v1/inspections/%",
    b"/v1/inspections/%zz",
    b"/v1/inspections/" + b"a" * 30_000,
    b"/v1/inspections/latest/outputs/run:0/..%2f..%2f..%2fetc%2fpasswd",
    b"/v1/inspections/latest/outputs/run:0/../../../etc/passwd",
    b"/v1/inspections/latest/outputs/run:0//etc/passwd",
    b"/v1/inspections/latest/logs/..%2f/stdout",
    b"/v1/jobs/..%2f..%2f/log",
    b"/v1/artifacts/..%2f..%2fetc%2fpasswd",
    b"/v1/artifacts/sha256:..%2f..%2f/download",
    b"/v1/files/..%2f..%2fetc%2fpasswd",
    b"/v1/tokens/..",
    b"//etc/passwd",
    b"/" + b"x/" * 10_000,
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:50].decode())
def test_paths_that_play_tricks_lead_nowhere(served: Served, path: bytes) -> None:
    status, told, raw = say(served, get(served, path))
    assert status in {404, 405, 422}, raw[:500]
    assert told["status"] == status
    assert b"root:" not in raw
    assert b"set-cookie" not in raw.partition(b"\r\n\r\n")[0].lower()


@pytest.mark.parametrize(
    "query",
    [
        b"/v1/inspections?after=%00",
        b"/v1/inspections?after=%0d%0aX-Evil:1",
        b"/v1/inspections?after=../../x",
        b"/v1/inspections?after=%f0%9f%92%a9",
        b"/v1/inspections?after=" + b"9" * 5000,
        b"/v1/audit?after=-1",
        b"/v1/audit?after=" + b"9" * 30,
        b"/v1/inspections?limit=0",
        b"/v1/inspections?limit=99999999999999999999",
        b"/v1/inspections?state=%27%3b--",
        b"/v1/inspections?sort=seq",
    ],
    ids=lambda query: query[:50].decode(),
)
def test_cursors_and_filters_that_are_forged_are_refused(served: Served, query: bytes) -> None:
    status, told, raw = say(served, get(served, query))
    assert status in {400, 422}, raw[:500]
    assert told["detail"]


@pytest.mark.parametrize(
    "header",
    [
        b"X-Request-Id: evil\tid",
        b"If-None-Match: " + b'"a",' * 5000,
        b"Idempotency-Key: \xff\xfe",
        b"Accept: \xff, ../../etc",
        b"Last-Event-ID: 9999999999999999999999.0",
        b"Range: bytes=9999999999999999999999-",
        b"X-Forwarded-For: 1.2.3.4, \xff",
        b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: x",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAM",
        b"Expect: 100-continue",
    ],
    ids=lambda header: header[:20].decode("latin-1"),
)
def test_headers_that_play_tricks_do_nothing(served: Served, header: bytes) -> None:
    status, _, raw = say(served, get(served, b"/v1/version", header))
    assert status == 200, raw[:500]
    assert b"evil" not in raw


def test_a_head_without_end_is_refused(served: Served) -> None:
    with connect(served) as connection:
        try:
            connection.sendall(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n")
            for number in range(2000):
                connection.sendall(b"X-%d: " % number + b"a" * 1000 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        raw = rest(connection)
    assert raw == b"" or b" 431 " in raw.partition(b"\r\n")[0]  # a reset may overtake the answer
    still_serves(served)


def test_a_head_that_comes_byte_by_byte_is_cut_off(served: Served) -> None:
    begun = time.monotonic()
    with connect(served) as connection:
        try:
            for byte in get(served, b"/v1/version"):
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            pass
        raw = rest(connection)
    assert b" 200 " not in raw
    assert time.monotonic() - begun < 20
    still_serves(served)


def test_who_says_nothing_is_cut_off(served: Served) -> None:
    with connect(served) as connection:
        assert rest(connection) == b""


def test_the_second_call_of_a_connection_must_come_in_time_too(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(get(served, b"/v1/version").replace(b"Connection: close\r\n", b""))
        assert b" 200 " in connection.recv(65536)
        connection.sendall(b"GET /v1/ver")
        assert b" 408 " in rest(connection)


def test_a_body_that_does_not_come_is_waited_for_a_while(served: Served) -> None:
    head = get(served, b"/v1/inspections", b"Content-Type: application/json", b"Content-Length: 1000")
    with connect(served) as connection:
        connection.sendall(head.replace(b"GET", b"POST", 1) + b'{"run"')
        raw = rest(connection)
    assert raw.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in raw
    still_serves(served)


def test_many_calls_at_once_on_one_connection_are_all_answered(served: Served) -> None:
    call = get(served, b"/v1/version").replace(b"Connection: close\r\n", b"")
    with connect(served) as connection:
        connection.sendall(call * 200 + get(served, b"/v1/version"))
        assert rest(connection).count(b"HTTP/1.1 200 OK") == 201


def test_connections_beyond_the_cap_are_told_so(tmp_path: Path) -> None:
    with (
        server(tmp_path / "data", "--no-work", environ={"DJED_SERVE_CONNECTIONS": "5"}) as small,
        ExitStack() as open_,
    ):
        for _ in range(5):
            open_.enter_context(connect(small))
        with connect(small) as late:
            assert b" 503 " in rest(late).partition(b"\r\n")[0]
        open_.close()
        for _ in range(100):
            with connect(small) as again:
                again.sendall(get(small, b"/v1/version"))
                if b" 200 " in rest(again):
                    break
            time.sleep(0.05)
        else:
            pytest.fail("no connection was let in again")


def test_ten_thousand_idle_connections_hinder_nobody(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 100:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 100), hard))
    try:
        with (
            server(tmp_path / "data", "--no-work", environ={"DJED_SERVE_PATIENCE": "60s"}) as busy,
            ExitStack() as open_,
        ):
            for _ in range(MANY):
                open_.enter_context(connect(busy))
            still_serves(busy)
            id_ = busy.submit()
            assert busy.get(f"/v1/inspections/{id_}")["id"] == id_
            assert busy.stop() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
