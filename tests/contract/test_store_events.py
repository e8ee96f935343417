"""Events: every follower gets each of them once and in one order, whoever writes meanwhile."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from djed.errors import UnreadableError
from djed.model.inspection import Event
from djed.store import events
from djed.store.store import Store

Stores = tuple[Store, Store]


def add(store: Store, *names: str, namespace: str = "default") -> None:
    with store.change() as connection:
        events.add(connection, [(name, "state", {"n": name}, 1.0, namespace) for name in names])


def since(
    store: Store, position: str = "", *, namespace: str | None = None, limit: int = 1000
) -> list[Event]:
    with store.database.read() as connection:
        return events.since(connection, position, namespace=namespace, limit=limit)


def latest(store: Store) -> str:
    with store.database.read() as connection:
        return events.latest(connection)


def test_events_come_in_order_behind_a_position(store: Store) -> None:
    add(store, "a", "b")
    add(store, "a")
    found = since(store)
    assert [event.inspection for event in found] == ["a", "b", "a"]
    assert since(store, found[0].position) == found[1:]
    assert since(store, found[-1].position) == []
    with store.database.read() as connection:
        assert events.after(connection, ["a"], "") == [found[0], found[2]]
        assert events.after(connection, ["a"], found[0].position) == [found[2]]


def test_a_namespace_has_its_own_and_a_page_has_an_end(store: Store) -> None:
    add(store, "a", "b", namespace="mine")
    add(store, "c", namespace="theirs")
    assert [event.inspection for event in since(store, namespace="mine")] == ["a", "b"]
    (first,) = since(store, limit=1)
    assert [event.inspection for event in since(store, first.position, limit=1)] == ["b"]


def test_the_latest_position_is_behind_all_that_is_told(store: Store) -> None:
    assert since(store, latest(store)) == []
    add(store, "a")
    position = latest(store)
    assert since(store, position) == []
    add(store, "b")
    assert [event.inspection for event in since(store, position)] == ["b"]


@pytest.mark.parametrize(
    "position", ["x", "1", "1.", ".1", "-1.1", "1.1.1", "1.1\n", "٣.1", f"0.{2**63}", "9" * 5000]
)
def test_what_is_no_position_is_refused(store: Store, position: str) -> None:
    with pytest.raises(UnreadableError, match="not a position"):
        since(store, position)


@pytest.mark.needs("postgresql")
def test_a_position_of_a_cluster_of_which_this_is_a_copy_goes_on_here(
    database_url: str, tmp_path: Path
) -> None:
    """There transactions had higher numbers; here they begin anew, and events that were copied count as the first."""
    store = Store(tmp_path, url=database_url)
    add(store, "a", "b", "c")
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE events SET xact = 999999999")
    store.close()
    store = Store(tmp_path, url=database_url)
    assert [event.xact for event in since(store)] == [0, 0, 0]
    assert [event.inspection for event in since(store, "999999999.2")] == ["c"]
    add(store, "d")
    assert [event.inspection for event in since(store, "999999999.3")] == ["d"]
    store.close()


def test_a_reader_that_follows_many_writers_misses_none(stores: Stores) -> None:
    """Transactions overlap: each takes its numbers, waits a little, and commits."""
    written: list[str] = []
    guard = threading.Lock()

    def write(store: Store, name: str) -> None:
        for number in range(15):
            with store.change() as connection:
                events.add(connection, [(f"{name}.{number}", "state", {}, 1.0, "default")])
                time.sleep(0.001 * (number % 4))
            with guard:
                written.append(f"{name}.{number}")

    threads = [threading.Thread(target=write, args=(store, str(n))) for n, store in enumerate(stores * 2)]
    for thread in threads:
        thread.start()
    position, got = "", []
    while any(thread.is_alive() for thread in threads):
        for event in since(stores[0], position, limit=5):
            got.append(event)
            position = event.position
    got.extend(since(stores[0], position))
    assert sorted(event.inspection for event in got) == sorted(written)
    assert got == since(stores[1])


@pytest.mark.needs("postgresql")
def test_what_an_older_transaction_holds_back_is_announced(database_url: str, tmp_path: Path) -> None:
    store = Store(tmp_path, url=database_url)
    with store.database.write() as older:
        events.add(older, [("older", "state", {}, 1.0, "default")])
        add(store, "newer")
        with store.database.read() as connection:
            assert events.since(connection, "") == []
            assert events.held_back(connection)
    assert [event.inspection for event in since(store)] == ["older", "newer"]
    with store.database.read() as connection:
        assert not events.held_back(connection)
    store.close()
