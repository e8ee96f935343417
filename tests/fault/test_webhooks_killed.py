"""A server that is killed while it tells a webhook something: nothing is lost, and at most the message that was on its way comes twice."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import djed
from djed.config import Config
from djed.store import events
from djed.store.store import Store
from djed.worker.webhooks import register, sign

SERVER = """
import sys, threading
from pathlib import Path
from djed.config import Config
from djed.store.store import Store
from djed.worker import webhooks
webhooks._TIMEOUT = 1.0
data = Path(sys.argv[1])
with webhooks.Dispatcher(Store(data), Config(data=data, webhooks_allow_private=True, lease=0.1)):
    threading.Event().wait()
"""
EVENTS = 30
KILLS = (3, 9, 20)


class Receiver(ThreadingHTTPServer):
    """Counts what comes, and kills who sends it at certain messages, before or after it answers."""

    daemon_threads = True
    secret = b""
    sender = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: list[str] = []
        self.forged = 0
        self.kills = list(KILLS)
        self.done = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Who sends is killed; that is the point."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        id_, timestamp = self.headers["webhook-id"], int(self.headers["webhook-timestamp"])
        signature = sign(self.server.secret, id_, timestamp, body)
        self.server.forged += signature != self.headers["webhook-signature"] or json.loads(body)["id"] != id_
        self.server.came.append(id_)
        if self.server.kills and len(self.server.came) >= self.server.kills[0]:
            answered = self.server.kills.pop(0) % 2
            if answered:
                self.send_response(204)
                self.end_headers()
            os.kill(self.server.sender, signal.SIGKILL)
            return
        self.send_response(204)
        self.end_headers()
        if len(set(self.server.came)) == EVENTS:
            self.server.done.set()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_killed_server_loses_nothing(receiver: Receiver, data: Path) -> None:
    store = Store(data)
    config = Config(data=data, webhooks_allow_private=True)
    _, secret = register(store, config, f"http://127.0.0.1:{receiver.server_port}/", namespace="default")
    receiver.secret = base64.b64decode(secret.removeprefix("whsec_"))
    with store.change() as connection:
        events.add(
            connection, [(f"i{number}", "done", {}, time.time(), "default") for number in range(EVENTS)]
        )
        positions = [event.position for event in events.since(connection, "", namespace="default")]
    store.close()
    environment = os.environ | {"PYTHONPATH": str(Path(djed.__file__).parent.parent)}
    for _ in range(len(KILLS) + 1):
        with subprocess.Popen([sys.executable, "-c", SERVER, str(data)], env=environment) as child:
            receiver.sender = child.pid
            while child.poll() is None and not receiver.done.wait(0.05):
                pass
            child.kill()
    assert receiver.forged == 0
    assert list(dict.fromkeys(receiver.came)) == positions
    assert sorted(receiver.came, key=positions.index) == receiver.came
    assert len(receiver.came) <= EVENTS + len(KILLS)
