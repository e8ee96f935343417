"""Two machines that write at the same moment: nothing is done twice, nothing is forgotten, nobody waits in a circle."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from djed.model.artifact import Artifact
from djed.model.lock import Lock
from djed.store import facts, inspections, job_records, jobs
from djed.store.database import exclusive
from djed.store.inspections import Claimed
from djed.store.schema import attempts
from djed.store.schema import jobs as job_table
from djed.store.store import Store
from tests.support.engine import NODE, add, attach, claim, inspection, job, start

Stores = tuple[Store, Store]
T = TypeVar("T")


def together(*calls: Callable[[], T]) -> list[T]:
    """Begin all at one moment; what they returned. The first error is raised."""
    gate = threading.Barrier(len(calls))

    def begin(call: Callable[[], T]) -> T:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))


def apply(connection: sa.Connection, claimed: Claimed, state: str, *, park: bool = False) -> None:
    change = inspections.Change(claimed=claimed, fields={"state": state}, park=park)
    assert inspections.apply(connection, [change], now=1.0)


def test_what_one_claims_the_other_does_not(stores: Stores) -> None:
    add(stores[0], *(inspection() for _ in range(60)))

    def take(store: Store, owner: str) -> list[Claimed]:
        found: list[Claimed] = []
        while batch := claim(store, owner=owner, limit=7):
            found += batch
        return found

    found = together(*(lambda s=store, o=str(n): take(s, o) for n, store in enumerate(stores * 2)))
    names = [item.inspection.id for batch in found for item in batch]
    assert len(names) == len(set(names)) == 60


def test_what_many_want_at_once_is_one_job(stores: Stores) -> None:
    for number in range(10):
        ids = add(stores[0], *(inspection() for _ in range(4)))
        key = f"digest{number}"
        together(
            *(
                lambda s=store, i=id_, k=key: attach(s, i, job("build", key=k))
                for id_, store in zip(ids, stores * 2, strict=True)
            )
        )
        with stores[0].database.read() as connection:
            found = job_records.of_inspection(connection, ids, with_results=False)
        assert len({record.id for records in found.values() for record in records}) == 1


def test_no_cpu_of_a_node_is_granted_by_two_workers(stores: Stores) -> None:
    (id_,) = add(stores[0], inspection())
    attach(stores[0], id_, *(job(f"run:{number}", turn=number) for number in range(40)))
    for _ in range(5):
        rounds = together(
            *(
                lambda s=store, o=str(n): start(s, owner=o, cpus=range(6))
                for n, store in enumerate(stores * 2)
            )
        )
        begun = [one for batch in rounds for one in batch]
        granted = [cpu for one in begun for cpu in one.attempt.cpus]
        assert sorted(granted) == list(range(6))
        assert len({one.attempt.name for one in begun}) == 6
        for one in begun:
            finish(stores[1], one)


def finish(store: Store, started: jobs.Started) -> bool:
    with store.change() as connection:
        return jobs.finish(connection, started, result={}, failure=None, state="succeeded", now=1.0)


def test_who_attaches_to_a_job_that_just_ends_is_woken_or_gets_one_of_its_own(stores: Stores) -> None:
    here, there = stores
    for number in range(25):
        key = f"digest{number}"
        first, second = add(here, inspection(), inspection())
        attach(here, first, job("build", key=key))
        (started,) = start(here)
        mine = {item.inspection.id: item for item in claim(here)}

        def wait_for_it(item: Claimed, key: str = key) -> bool:
            with there.change() as connection:
                jobs.hold(connection, keys=[key], inspections=[])
                apply(connection, item, "building", park=True)
                jobs.attach(
                    connection, item.inspection.id, [job("build", key=key)], turn=jobs.Turn(lead=1), now=1.0
                )
            return True

        together(partial(wait_for_it, mine[second]), partial(finish, here, started))
        woken = {item.inspection.id for item in claim(here, owner="later")}
        queued = start(here)
        assert second in woken or len(queued) == 1
        for one in queued:
            finish(here, one)
        for item in claim(here, owner="later"):
            apply_done(here, item)


def apply_done(store: Store, item: Claimed) -> None:
    with store.change() as connection:
        apply(connection, item, "done")


def test_moves_ends_and_renewals_never_wait_in_a_circle(stores: Stores) -> None:
    """Each of three threads takes the same rows in an order of its own, as workers do."""
    here, there = stores
    ids = add(here, *(inspection() for _ in range(6)))
    for id_ in ids:
        attach(here, id_, *(job(f"run:{number}", key=f"k{number}") for number in range(6)))
    begun = start(here, cpus=range(12))
    claimed = claim(here)
    luck = random.Random(0)

    def move() -> None:
        for _ in range(25):
            with here.change() as connection:
                jobs.hold(
                    connection,
                    keys=[f"k{n}" for n in luck.sample(range(6), 6)],
                    inspections=luck.sample(ids, 6),
                )
                changes = [
                    inspections.Change(claimed=item, fields={"node": "n"}, keep=True)
                    for item in luck.sample(claimed, len(claimed))
                ]
                assert len(inspections.apply(connection, changes, now=1.0)) == 6

    def wake() -> None:
        for _ in range(25):
            with there.change() as connection:
                inspections.wake(connection, luck.sample(ids, 6))

    def renew() -> None:
        for _ in range(25):
            with there.change() as connection:
                jobs.renew(connection, "a", 2000.0)

    def end() -> None:
        for one in luck.sample(begun, len(begun)):
            finish(there, one)

    together(move, wake, renew, end)
    assert_each_ended_once(here, 6)


def assert_each_ended_once(store: Store, count: int) -> None:
    with store.database.read() as connection:
        states = connection.execute(sa.select(job_table.c.state)).scalars()
        assert Counter(states) == {"succeeded": count}
        accepted = connection.execute(
            sa.select(attempts.c.job).where(attempts.c.state == "accepted")
        ).scalars()
        assert max(Counter(accepted).values()) == 1


def test_what_two_learn_at_once_is_kept_once(stores: Stores) -> None:
    lock = Lock(python="3.11.7", platform="linux", base="sha256:base", packages=())
    artifact = Artifact(
        digest="sha256:a", kind="venv", path="venv/a", size=1, manifest="sha256:m", contents=()
    )

    def learn(store: Store) -> None:
        for _ in range(10):
            with store.change() as connection:
                facts.add_lock(connection, "key", lock, 1.0)
                facts.add_artifact(connection, artifact, 1.0)

    together(*(lambda s=store: learn(s) for store in stores * 2))
    with stores[0].database.read() as connection:
        assert facts.find_lock(connection, "key") == (lock, 1.0)
        assert facts.find_artifact(connection, "sha256:a") == artifact


def test_a_name_is_held_by_one_transaction_at_a_time(stores: Stores) -> None:
    inside: list[str] = []
    overlaps: list[str] = []

    def enter(store: Store, name: str) -> None:
        for _ in range(10):
            with store.change() as connection:
                exclusive(connection, "b", "a")
                overlaps.extend(inside)
                inside.append(name)
                connection.execute(sa.select(sa.func.count()).select_from(job_table))
                inside.remove(name)

    together(*(lambda s=store, n=str(n): enter(s, n) for n, store in enumerate(stores * 2)))
    assert overlaps == []


def test_an_attempt_is_adopted_by_one(stores: Stores) -> None:
    (id_,) = add(stores[0], inspection())
    attach(stores[0], id_, *(job(f"run:{number}") for number in range(8)))
    start(stores[0], cpus=range(8), now=1000, lease=10)

    def adopt(store: Store, owner: str) -> list[jobs.Started]:
        with store.change() as connection:
            return jobs.adopt(connection, owner=owner, nodes=[NODE], now=2000, lease=10)

    found = together(*(lambda s=store, o=str(n): adopt(s, o) for n, store in enumerate(stores * 2)))
    names = [one.attempt.name for batch in found for one in batch]
    assert len(names) == len(set(names)) == 8
