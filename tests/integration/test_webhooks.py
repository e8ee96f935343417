"""Webhooks over a real store: every event at least once, in order, by one server at a time, whatever receivers and servers do."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djed.config import Config
from djed.errors import ConflictError, NotFoundError, RequestError, UnsafeError
from djed.model.webhook import Delivery, Webhook
from djed.store import events, webhooks
from djed.store.store import Store
from djed.worker import webhooks as worker
from djed.worker.webhooks import Dispatcher, register
from tests.support import engine as support

ADDRESS = "http://127.0.0.1:9009/hook"
Answer = Callable[[str], int]


class Receiver:
    """Stands for the network: remembers what came, and answers what it is told to."""

    def __init__(self, answer: Answer = lambda _: 204) -> None:
        self.answer = answer
        self.came: list[tuple[str, int]] = []
        self._more = threading.Condition()

    def __call__(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout: float, private: bool = False
    ) -> int:
        id_ = headers["webhook-id"]
        status = self.answer(id_)
        with self._more:
            self.came.append((id_, status))
            self._more.notify_all()
        return status

    def accepted(self) -> list[str]:
        return [id_ for id_, status in self.came if status < 300]

    def wait(self, done: Callable[[], bool]) -> None:
        with self._more:
            assert self._more.wait_for(done, timeout=30)


@pytest.fixture
def config(data: Path) -> Config:
    return Config(data=data, webhooks_allow_private=True, lease=0.2)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    store = Store(config.data)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_pause", lambda failures: 0.001)
    monkeypatch.setattr(worker, "_REST", 0.001)


def happen(store: Store, kinds: Sequence[str], *, namespace: str = "default", ago: float = 0.0) -> list[str]:
    """Positions of new events."""
    with store.change() as connection:
        before = events.latest(connection)
        events.add(connection, [("absent", kind, {}, time.time() - ago, namespace) for kind in kinds])
        return [event.position for event in events.since(connection, before, namespace=namespace)]


def known(store: Store, namespace: str = "default") -> list[Webhook]:
    with store.database.read() as connection:
        return webhooks.webhooks(connection, namespace)


def told(store: Store, webhook: Webhook) -> list[Delivery]:
    with store.database.read() as connection:
        return webhooks.deliveries(connection, "default", webhook.id, limit=100)


def test_what_happens_is_told_in_order_from_the_moment_of_the_registration(
    store: Store, config: Config
) -> None:
    happen(store, ["state"])
    webhook, secret = register(store, config, ADDRESS, namespace="default")
    receiver = Receiver()
    with Dispatcher(store, config, post=receiver):
        first = happen(store, ["state", "job", "done"])
        receiver.wait(lambda: len(receiver.came) == 3)
        second = happen(store, ["done"])
        receiver.wait(lambda: len(receiver.came) == 4)
    assert receiver.accepted() == first + second
    assert [item.state for item in told(store, webhook)] == ["delivered"] * 4
    assert secret.startswith("whsec_")
    assert secret.removeprefix("whsec_") not in (config.data / "djed.sqlite").read_bytes().decode("latin-1")


def test_only_the_kinds_and_the_namespace_that_were_asked_for(store: Store, config: Config) -> None:
    register(store, config, ADDRESS, namespace="default", kinds=["done"])
    receiver = Receiver()
    with Dispatcher(store, config, post=receiver):
        happen(store, ["done"], namespace="other")
        happen(store, ["job"] * 1200)  # more than is read at once
        wanted = happen(store, ["state", "done"])[1:]
        receiver.wait(lambda: bool(receiver.came))
    assert receiver.accepted() == wanted


def test_the_message_tells_of_the_inspection(store: Store, config: Config) -> None:
    register(store, config, ADDRESS, namespace="default")
    bodies: list[bytes] = []

    def post(url: str, body: bytes, **_: Any) -> int:
        bodies.append(body)
        stop.set()
        return 200

    stop = threading.Event()
    inspection = support.inspection(name="matmul")
    with Dispatcher(store, config, post=post):
        support.add(store, inspection)
        assert stop.wait(30)
    message = json.loads(bodies[0])
    assert message["kind"] == "state"
    assert message["data"] == {"state": "queued"}
    assert message["inspection"]["id"] == inspection.id
    assert message["inspection"]["name"] == "matmul"
    assert message["inspection"]["state"] == "queued"
    assert message["inspection"]["outcome"] is None


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 8))
def test_a_receiver_that_fails_at_random_gets_every_event_in_order(
    seed: int, count: int, data_root: Path
) -> None:
    chance = random.Random(seed)
    receiver = Receiver(lambda _: chance.choice([200, 200, 500, 503, 429, 408]))
    data = data_root / f"random-{time.monotonic_ns()}"
    config = Config(data=data, webhooks_allow_private=True)
    with ExitStack() as stack:
        store = Store(data)
        stack.callback(store.close)
        register(store, config, ADDRESS, namespace="default")
        stack.enter_context(Dispatcher(store, config, post=receiver))
        positions = happen(store, ["state"] * count)
        receiver.wait(lambda: len(receiver.accepted()) >= count)
    assert receiver.accepted() == positions
    attempts = [id_ for id_, _ in receiver.came]
    assert sorted(attempts, key=positions.index) == attempts


def test_what_is_refused_five_times_is_given_up_and_the_next_event_goes_on(
    store: Store, config: Config
) -> None:
    webhook, _ = register(store, config, ADDRESS, namespace="default")
    bad, good = happen(store, ["state", "done"])
    receiver = Receiver(lambda id_: 400 if id_ == bad else 200)
    with Dispatcher(store, config, post=receiver):
        receiver.wait(lambda: bool(receiver.accepted()))
    assert [id_ for id_, _ in receiver.came] == [bad] * 5 + [good]
    last, given_up = told(store, webhook)
    assert (given_up.state, given_up.attempts, given_up.status) == ("given_up", 5, 400)
    assert (last.state, last.position) == ("delivered", good)


def test_an_event_that_is_too_old_is_given_up_after_an_attempt(store: Store, config: Config) -> None:
    config = replace(config, webhooks_max_age=60.0)
    webhook, _ = register(store, config, ADDRESS, namespace="default")
    old = happen(store, ["state"], ago=61)[0]
    young = happen(store, ["done"])[0]
    receiver = Receiver(lambda _: 500)
    with Dispatcher(store, config, post=receiver):
        receiver.wait(lambda: receiver.came.count((young, 500)) >= 3)
    assert receiver.came.count((old, 500)) == 1
    assert [item.position for item in told(store, webhook)] == [old]
    assert known(store)[0].failures >= 3
    assert known(store)[0].last_error == "It answered with status 500."


def test_a_receiver_that_is_gone_is_told_nothing_more(store: Store, config: Config) -> None:
    register(store, config, ADDRESS, namespace="default")
    other, _ = register(store, config, ADDRESS + "/other", namespace="default")
    receiver = Receiver(lambda _: 410)
    with Dispatcher(store, config, post=receiver):
        happen(store, ["state"])
        receiver.wait(lambda: len(receiver.came) == 2)
    receiver.answer = lambda _: 200
    with Dispatcher(store, config, post=receiver):
        happen(store, ["state"])
        register(store, config, ADDRESS + "/third", namespace="default")
        happen(store, ["state"])
        receiver.wait(lambda: len(receiver.came) == 3)
    assert [item.active for item in known(store)] == [False, False, True]
    assert told(store, other)[0].state == "given_up"
    with store.database.read() as connection:
        assert webhooks.trouble(connection)[:3] == (1, 0, 2)


def test_how_they_fare_is_counted(store: Store, config: Config) -> None:
    register(store, config, ADDRESS, namespace="default")
    receiver = Receiver(lambda _: 500)
    with store.database.read() as connection:
        assert webhooks.trouble(connection) == (1, 0, 0, None)
    happen(store, ["state"], ago=100)
    with Dispatcher(store, config, post=receiver):
        happen(store, ["state"])
        receiver.wait(lambda: len(receiver.came) >= 2)
    with store.database.read() as connection:
        trouble = webhooks.trouble(connection)
    assert trouble[:3] == (1, 1, 0)
    assert trouble.untold is not None
    assert 99 < time.time() - trouble.untold < 200


def test_another_namespace_sees_and_removes_nothing(store: Store, config: Config) -> None:
    webhook, _ = register(store, config, ADDRESS, namespace="default")
    assert known(store, "other") == []
    with store.change() as connection:
        with pytest.raises(NotFoundError):
            webhooks.deliveries(connection, "other", webhook.id, limit=1)
        with pytest.raises(NotFoundError):
            webhooks.remove(connection, "other", webhook.id)
        webhooks.remove(connection, "default", webhook.id)
        with pytest.raises(NotFoundError):
            webhooks.remove(connection, "default", webhook.id)
    assert known(store) == []


def test_a_registration_is_checked(store: Store, config: Config) -> None:
    careful = replace(config, webhooks_allow_private=False)
    with pytest.raises(UnsafeError, match="private"):
        register(store, careful, ADDRESS, namespace="default")
    with pytest.raises(RequestError) as caught:
        register(store, config, ADDRESS, namespace="default", kinds=["don"])
    assert caught.value.hint == "Did you mean 'done'?"
    for _ in range(20):
        register(store, config, ADDRESS, namespace="default")
    with pytest.raises(ConflictError, match="20 webhooks"):
        register(store, config, ADDRESS, namespace="default")
    register(store, config, ADDRESS, namespace="other")
