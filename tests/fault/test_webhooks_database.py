"""A database that goes away under the dispatcher and comes back: it waits, and tells all."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from djed.config import Config
from djed.errors import StoreError
from djed.store import events
from djed.store.store import Store
from djed.worker import webhooks
from djed.worker.webhooks import Dispatcher, register
from tests.support.postgres import cluster

pytestmark = pytest.mark.needs("postgresql")


def happen(store: Store, count: int) -> None:
    with store.change() as connection:
        events.add(connection, [("absent", "state", {}, time.time(), "default")] * count)


def test_a_database_that_comes_back_is_told_from(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_TIMEOUT", 0.5)  # and with it the lease
    monkeypatch.setattr(webhooks, "_PATIENCE", 0.5)
    came: list[str] = []
    first, all_ = threading.Event(), threading.Event()

    def post(
        url: str, body: bytes, *, headers: Mapping[str, str], timeout: float, private: bool = False
    ) -> int:
        came.append(headers["webhook-id"])
        first.set()
        if gone.is_set() and len(set(came)) == 8:
            all_.set()
        while not gone.is_set():  # what is delivered while there is no database cannot be written down
            gone.wait(30)
        return 204

    gone = threading.Event()
    with cluster() as database:
        store = Store(data, url=database.url(database.create_store()))
        config = Config(data=data, webhooks_allow_private=True, lease=0.2)
        register(store, config, "http://127.0.0.1:9009/", namespace="default")
        with Dispatcher(store, config, post=post):
            happen(store, 5)
            assert first.wait(30)
            database.stop("immediate")
            gone.set()
            with pytest.raises(StoreError):
                happen(store, 1)
            database.start()
            happen(store, 3)
            assert all_.wait(60)
        with store.database.read() as connection:
            positions = [event.position for event in events.since(connection, "", namespace="default")]
        store.close()
    assert list(dict.fromkeys(came)) == positions
    assert sorted(came, key=positions.index) == came
    assert len(came) <= len(positions) + 1
