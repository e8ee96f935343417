"""Followers with bad luck or bad manners: slow, gone, too many; and a store that is away."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from djed.api.pump import Pump
from djed.client.sse import Message
from djed.config import load
from djed.errors import StoreError
from djed.service.engine import Engine
from djed.store import events
from tests.support.followers import everything, hubbed, of_inspection, run
from tests.support.listening import hear, listening
from tests.support.live import until
from tests.support.play import Play
from tests.support.server import Served, server

LINES = 150_000
BURST = f"i=0; while [ $i -lt {LINES} ]; do echo 0123456789012345678901234567890123456789012345678901234567890 $i; i=$((i+1)); done\n"
MOST = 250 * 10**6
"""Bytes of memory that the server may have: more than it has by itself, less than a follower's backlog each."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with server(tmp_path_factory.mktemp("trouble") / "data") as running:
        yield running


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine.open(load({"data": str(tmp_path)}, environ={})) as opened:
        yield opened


def _digest(messages: list[Message]) -> str:
    """Of what the run said; each byte must have come once and in order."""
    total, end = hashlib.sha256(), 0
    for message in messages:
        told = json.loads(message.data)
        if message.kind == "log" and told["role"] == "run:0":
            assert told["offset"] == end
            data = told["text"].encode()
            total.update(data)
            end += len(data)
    return total.hexdigest()


def test_slow_readers_of_a_burst_hear_all_of_it_and_cost_little(served: Served) -> None:
    """Ten MB, ten readers that read nothing until all is written."""
    id_ = served.submit(BURST)
    path = f"/v1/inspections/{id_}/stream?logs=true"
    with ExitStack() as followers:
        slow = [followers.enter_context(listening(served, path)) for _ in range(10)]
        for messages in slow:
            next(messages)
        hear(served, f"/v1/inspections/{id_}/stream")
        job = next(
            job["id"] for job in served.get(f"/v1/inspections/{id_}/jobs")["items"] if job["role"] == "run:0"
        )
        whole = served.call("GET", f"/v1/jobs/{job}/log").content
        assert len(whole) > 10**7
        wanted = hashlib.sha256(whole).hexdigest()
        assert [_digest(list(messages)) for messages in slow[:3]] == [wanted] * 3
        assert _memory(served) < MOST


def _memory(served: Served) -> int:
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_follower_who_never_reads_does_not_keep_the_server(tmp_path: Path) -> None:
    with server(tmp_path / "data", environ={"DJED_SERVE_STOP": "1s"}) as served:
        id_ = served.submit(BURST)
        with _mute(served, f"/v1/inspections/{id_}/stream?logs=true"):
            hear(served, f"/v1/inspections/{id_}/stream")
            assert served.stop() == 0


def _mute(served: Served, path: str) -> socket.socket:
    """A connection that asks for a stream and takes nothing of it."""
    address = urlsplit(served.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((address.hostname, address.port))
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {served.token}\r\n\r\n".encode()
    )
    return connection


def test_token_that_is_revoked_opens_no_stream_any_more(served: Served) -> None:
    token = served.new_token("read")
    with listening(served, "/v1/stream", token=token):
        served.call("DELETE", f"/v1/tokens/{token.split('_')[1]}")

    def is_refused() -> bool:
        return served.call("GET", "/v1/stream", token=token).status_code == 401

    until(is_refused, "the end of the token")


def test_stream_ends_where_the_store_fails_and_goes_on_where_it_ended(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = Play(engine.store)
    play.happens("one")
    play.done()

    def fail(*_: object, **__: object) -> None:
        raise StoreError("The store is away.")

    async def main() -> None:
        async with hubbed(engine.store) as hub:
            frames = of_inspection(hub, engine, play.id)
            opening = await anext(frames)
            assert opening == b"retry: 2000\n\n"
            with monkeypatch.context() as trouble:
                trouble.setattr(events, "after", fail)
                assert await everything(frames) == []
            kinds = [message.kind for message in await everything(of_inspection(hub, engine, play.id))]
            assert kinds == ["state", "one", "done"]

    run(main())


def test_bug_in_the_pump_ends_no_stream(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("djed.api.pump._PATIENCE", 0.01)
    play, real = Play(engine.store), Pump._look
    failed = 0

    def fail_once(pump: Pump, jobs: frozenset[tuple[str, int]]) -> object:
        nonlocal failed
        failed += 1
        if failed == 2:
            raise ValueError("a bug")
        return real(pump, jobs)

    monkeypatch.setattr(Pump, "_look", fail_once)

    async def main() -> None:
        async with hubbed(engine.store) as hub, hub.subscribe("default", play.id, after=None) as listener:
            assert await listener.news() == []
            play.happens("one")
            while not (found := await listener.news()):
                assert await listener.wait(10)
                listener.wake.clear()
            assert [news.event.kind for news in found] == ["one"]

    run(main())
    assert failed > 2
    assert "a bug" in caplog.text
