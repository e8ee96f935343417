"""The database goes away, is full, or has no room: a sentence, and the next call goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from djed.config import load
from djed.errors import ConfigError, DjedError, StoreBusyError, StoreError, StoreFullError, UnreadableError
from djed.store import events
from djed.store.postgres import PostgresDatabase
from djed.store.schema import inspections as table
from djed.store.store import Store
from djed.testing.restart_loop import restart_loop
from djed.toolbox.bell import Bell
from tests.support.engine import add, inspection
from tests.support.live import until
from tests.support.postgres import Cluster, cluster

pytestmark = pytest.mark.needs("postgresql")


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data", url=database_url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def frail() -> Iterator[Cluster]:
    """A server that may be stopped without harm to other tests."""
    with cluster() as server:
        yield server


def ids(store: Store) -> list[str]:
    with store.database.read() as connection:
        return list(connection.execute(sa.select(table.c.id).order_by(table.c.seq)).scalars())


def end_connections(store: Store, server: Cluster) -> None:
    """End them, and wait until they are gone: the server ends each when its process gets to it."""
    assert isinstance(store.database, PostgresDatabase)
    where = f"FROM pg_stat_activity WHERE datname = '{store.database.url.database}'"
    server.execute(f"SELECT pg_terminate_backend(pid) {where}")
    until(lambda: server.execute(f"SELECT count(*) {where}") == [(0,)], "the end of the connections")


def test_a_connection_that_was_ended_meanwhile_is_not_noticed(store: Store, postgresql: Cluster) -> None:
    (first,) = add(store, inspection())
    end_connections(store, postgresql)
    (second,) = add(store, inspection())
    end_connections(store, postgresql)
    assert ids(store) == [first, second]


def test_a_connection_that_ends_in_a_transaction_takes_it_back(store: Store, postgresql: Cluster) -> None:
    def write() -> None:
        with store.change() as connection:
            events.add(connection, [("a", "state", {}, 1.0, "default")])
            end_connections(store, postgresql)
            events.add(connection, [("b", "state", {}, 1.0, "default")])

    with pytest.raises(StoreBusyError, match=r"not there for now|cannot be reached"):
        write()
    with store.database.read() as connection:
        assert events.since(connection, "") == []


def test_a_server_that_crashed_is_a_sentence_and_then_works_again(frail: Cluster, tmp_path: Path) -> None:
    store = Store(tmp_path / "data", url=frail.url(frail.create_store()))
    (first,) = add(store, inspection())
    frail.stop("immediate")
    for _ in range(2):
        with pytest.raises(StoreBusyError) as caught:
            add(store, inspection())
        assert caught.value.message.startswith("The database 127.0.0.1")
        assert "\n" not in caught.value.message
    with pytest.raises(StoreBusyError):
        Store(tmp_path / "other", url=frail.url())
    frail.start()
    assert ids(store) == [first]
    add(store, inspection())
    assert store.database.integrity() == "ok"
    store.close()


def test_who_follows_waits_for_a_server_that_comes_back(frail: Cluster, tmp_path: Path) -> None:
    from djed.store.follow import follow

    store = Store(tmp_path / "data", url=frail.url(frail.create_store()))
    (id_,) = add(store, inspection())
    told: list[str] = []

    def read() -> None:
        for event in follow(store, [id_], "", tick=0.05, logs=False, broken=lambda: False):
            told.extend([event.kind] if event is not None else [])

    thread = threading.Thread(target=read)
    thread.start()
    until(lambda: told == ["state"])
    frail.stop("immediate")
    time.sleep(0.2)
    frail.start()
    with store.change() as connection:
        connection.execute(sa.update(table).values(state="done"))
        events.add(connection, [(id_, "done", {}, 1.0, "default")])
    thread.join(20)
    assert told == ["state", "done"]
    store.close()


def test_bells_ring_for_changes_on_another_machine_also_after_a_crash(frail: Cluster, tmp_path: Path) -> None:
    url = frail.url(frail.create_store())
    here, there = Store(tmp_path / "here", url=url), Store(tmp_path / "there", url=url)
    assert here.place != there.place
    bell = Bell(here.bells)
    try:
        here.listen()
        here.listen()
        assert rings(bell, lambda: None)  # it began to listen
        assert rings(bell, lambda: add(there, inspection()))
        frail.stop("immediate")
        frail.start()
        assert rings(bell, lambda: None)  # it listens again, and what it missed may matter
        assert rings(bell, lambda: add(there, inspection()))
        there.listen()
        assert rings(bell, lambda: add(there, inspection()))
    finally:
        bell.close()
        here.close()
        there.close()


def rings(bell: Bell, change: Callable[[], object]) -> bool:
    """Whether the change rings the bell, which is silent before."""
    change()
    bell.wait(20)
    heard = bell.rung
    while bell.rung:  # what follows in a moment belongs to it
        bell.wait(0.3)
    return heard


def raised(store: Store, state: str) -> DjedError:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'first line\nsecond' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(DjedError) as caught, store.database.write() as connection:
        connection.exec_driver_sql(statement)
    return caught.value


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53100", StoreFullError),
        ("53300", StoreBusyError),
        ("53200", StoreBusyError),
        ("40001", StoreBusyError),
        ("40P01", StoreBusyError),
        ("23505", StoreBusyError),
        ("55P03", StoreBusyError),
        ("57P01", StoreBusyError),
        ("58030", StoreBusyError),
        ("25006", StoreBusyError),
    ],
)
def test_what_may_go_better_later_says_so(store: Store, state: str, kind: type[StoreError]) -> None:
    error = raised(store, state)
    assert type(error) is kind
    assert error.transient
    assert "second" not in error.message


@pytest.mark.parametrize(
    ("state", "kind"), [("42501", StoreError), ("XX001", StoreError), ("22001", UnreadableError)]
)
def test_what_will_not_go_better_does_not_say_so(store: Store, state: str, kind: type[DjedError]) -> None:
    error = raised(store, state)
    assert type(error) is kind
    assert not error.transient


def test_a_circle_of_waiting_is_broken_and_both_can_go_on(store: Store) -> None:
    a, b = add(store, inspection(), inspection())
    gate = threading.Barrier(2)
    failed: list[DjedError] = []

    def update(*order: str) -> None:
        try:
            with store.change() as connection:
                connection.execute(sa.update(table).where(table.c.id == order[0]).values(node="n"))
                gate.wait()
                connection.execute(sa.update(table).where(table.c.id == order[1]).values(node="n"))
        except StoreBusyError as error:
            failed.append(error)

    threads = [threading.Thread(target=update, args=order) for order in ((a, b), (b, a))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 1
    assert "others at the same moment" in failed[0].message
    assert len(ids(store)) == 2


def test_text_that_the_database_cannot_hold_is_the_fault_of_who_asks(store: Store) -> None:
    with pytest.raises(UnreadableError), store.database.read() as connection:
        events.after(connection, ["a\0b"], "")


def test_a_full_server_lets_us_in_later(frail: Cluster, tmp_path: Path) -> None:
    name = frail.create_store()
    frail.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    frail.execute("CREATE ROLE plain LOGIN")
    url = frail.url(name).replace("postgres@", "plain:secret@")
    with pytest.raises(StoreBusyError, match="no connection free") as caught:
        Store(tmp_path / "data", url=url)
    assert "secret" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("name", "user", "message"),
    [("nowhere", "postgres", "does not exist"), ("postgres", "nobody", "does not let us in")],
)
def test_a_wrong_address_is_told_without_its_password(
    postgresql: Cluster, tmp_path: Path, name: str, user: str, message: str
) -> None:
    url = postgresql.url(name).replace("postgres@", f"{user}:sesame@")
    with pytest.raises(StoreError, match=message) as caught:
        Store(tmp_path / "data", url=url)
    assert not caught.value.transient
    assert "sesame" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "url", ["postgresql://u:sesame@h:x/d", "postgresql://u:sesame@h:99999/d", "mysql://u:sesame@h/d"]
)
def test_what_is_no_address_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresDatabase(url)
    assert "sesame" not in f"{caught.value} {caught.value.hint}"


def test_another_programs_database_is_left_alone(postgresql: Cluster, tmp_path: Path) -> None:
    name = postgresql.create()
    postgresql.execute("CREATE TABLE theirs (a int)", database=name)
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path / "data", url=postgresql.url(name))
    postgresql.drop(name)


def test_the_setting_opens_it(database_url: str, data: Path) -> None:
    store = Store.open(load({"store": database_url}))
    assert store.database.kind == "postgresql"
    assert (data / "place").read_text().strip() == store.place
    store.close()
    again = Store.open(load({"store": database_url}))
    assert again.place == store.place
    again.close()


@pytest.mark.timeout(120)
def test_a_server_that_crashes_again_and_again_loses_nothing(frail: Cluster, data: Path) -> None:
    def restart() -> None:
        frail.stop("immediate")
        frail.start()

    report = restart_loop(data, frail.url(frail.create_store()), restart=restart, restarts=3, every=2.0)
    assert report.clean, report
    assert report.accepted > 20
