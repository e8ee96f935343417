"""Webhooks, counters and metrics on each database, with two who share it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from djed.api.metrics import API, expose
from djed.config import Config
from djed.model.webhook import Delivery
from djed.store import events, webhooks, workers
from djed.store.store import Store
from djed.worker import webhooks as dispatching
from djed.worker.counters import Counters, Tally
from djed.worker.webhooks import Dispatcher, register
from tests.support import engine as support

Stores = tuple[Store, Store]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data=tmp_path / "data", webhooks_allow_private=True, secrets_key=tmp_path / "key")


def hook(store: Store, config: Config) -> str:
    return register(store, config, "http://127.0.0.1:9009/", namespace="default")[0].id


def happen(store: Store, count: int, *, at_once: int = 1) -> None:
    for _ in range(count // at_once):
        with store.change() as connection:
            events.add(connection, [("absent", "state", {}, time.time(), "default")] * at_once)


def test_a_lease_is_held_by_one_and_lost_with_time(stores: Stores, config: Config) -> None:
    here, there = stores
    hook(here, config)
    happen(here, 1)
    with here.database.read() as connection:
        line = webhooks.lines(connection, owner="a")[0]
        found = webhooks.next_event(connection, line)
    assert not isinstance(found, str)
    step = webhooks.Step(delivery=None, position=found[0].position)
    with here.change() as connection:
        assert webhooks.claim(connection, line, owner="a", now=100.0, until=110.0)
    with there.change() as connection:
        assert not webhooks.claim(connection, line, owner="b", now=109.0, until=120.0)
        assert webhooks.lines(connection, owner="b")[0].free_at == 110.0
        assert webhooks.claim(connection, line, owner="b", now=111.0, until=120.0)
    with here.change() as connection:
        assert not webhooks.settle(connection, line, step, owner="a", now=112.0)
    with there.change() as connection:
        assert webhooks.settle(connection, line, step, owner="b", now=112.0)
    with here.change() as connection:  # who looked before that must look again
        assert not webhooks.claim(connection, line, owner="a", now=113.0, until=120.0)
        again = webhooks.lines(connection, owner="a")[0]
        assert webhooks.claim(connection, again, owner="a", now=113.0, until=120.0)
        webhooks.release(connection, again, again.position, owner="a")
        assert webhooks.lines(connection, owner="c")[0].free_at == 0.0


def test_two_servers_tell_everything_once_and_in_order(
    stores: Stores, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "_REST", 0.001)
    came: list[str] = []
    done = threading.Event()

    def post(
        url: str, body: bytes, *, headers: Mapping[str, str], timeout: float, private: bool = False
    ) -> int:
        came.append(headers["webhook-id"])
        if len(came) >= 40:
            done.set()
        return 200

    here, there = stores
    id_ = hook(here, config)
    with (
        Dispatcher(here, config, post=post),
        Dispatcher(there, replace(config, data=there.data), post=post),
    ):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda store: happen(store, 20, at_once=2), stores))
        assert done.wait(60)
    with here.database.read() as connection:
        positions = [event.position for event in events.since(connection, "", namespace="default")]
        told = webhooks.deliveries(connection, "default", id_, limit=100)
    assert came == positions
    assert [item.position for item in reversed(told)] == positions


def test_what_is_remembered_of_a_webhook_is_bounded(
    stores: Stores, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_KEPT", 3)
    here, _ = stores
    id_ = hook(here, config)
    with here.change() as connection:
        line = webhooks.lines(connection, owner="a")[0]
        assert webhooks.claim(connection, line, owner="a", now=0.0, until=1.0)
        for number in range(6):
            delivery = Delivery(
                webhook=id_,
                position=f"0.{number}",
                inspection="x",
                kind="done",
                state="delivered",
                attempts=1,
            )
            step = webhooks.Step(delivery=delivery, position=delivery.position, until=1.0)
            assert webhooks.settle(connection, line, step, owner="a", now=0.0)
        kept = webhooks.deliveries(connection, "default", id_, limit=100)
    assert [item.position for item in kept] == ["0.5", "0.4", "0.3"]


def test_counters_of_the_dead_are_added_up_once(stores: Stores) -> None:
    """Both notice all deaths at the same time."""
    names = [f"worker {number}" for number in range(8)]
    for name in names:
        tally = Tally(stores[0], name)
        with stores[0].change() as connection:
            tally.beat(connection)
        tally._counters.add("djed_retries_total", 1, kind="run")
        with stores[0].change() as connection:
            tally.beat(connection)
    start = threading.Barrier(2)

    def bury(store: Store) -> None:
        start.wait()
        for name in names:
            with store.change() as connection:
                Tally(store, "gravedigger").bury(connection, [name])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(bury, stores))
    with stores[1].database.read() as connection:
        total = Counters.sum(workers.counted(connection))
        assert workers.alive(connection, 0.0) == 0
    assert {measure.name: cell[0] for measure, _, cell in total.items() if measure.kind == "counter"} == {
        "djed_retries_total": len(names)
    }


def test_the_metrics_can_be_read(stores: Stores, config: Config) -> None:
    here, there = stores
    hook(here, config)
    support.add(here, support.inspection())
    content, _ = expose(there, config, Counters(API))
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }
    assert found["djed_inspections", "queued"] == 1
    assert found["djed_webhooks", "ok"] == 1
    assert found["djed_webhooks", "failing"] == 0
    assert found["djed_store_bytes", "database"] > 0
