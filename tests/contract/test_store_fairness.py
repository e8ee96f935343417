"""Fair turns and quotas: what every database of the store must do."""

from __future__ import annotations

from dataclasses import replace

from djed.model.access import Namespace, Quota
from djed.model.inspection import Inspection
from djed.model.request import Request, Run
from djed.store import access, fairness, inspections, jobs
from djed.store.store import Store
from tests.support.engine import attach, claim, inspection, job, start


def of(namespace: str, **request: object) -> Inspection:
    return replace(inspection(**request), namespace=namespace)


def ask(store: Store, *new: Inspection) -> list[str]:
    """Submit a group as the engine does."""
    with store.change() as connection:
        cost = fairness.cost([item.request for item in new])
        inspections.add(connection, new, digests=["digest"] * len(new), cost=cost)
    return [item.id for item in new]


def settle(store: Store, name: str, **fields: object) -> None:
    with store.change() as connection:
        access.put_namespace(connection, Namespace(name=name, **fields), 1.0)  # type: ignore[arg-type]


def names(claimed: list[inspections.Claimed]) -> list[str]:
    return [item.inspection.name for item in claimed]


def begin(store: Store, claimed: inspections.Claimed, state: str = "running") -> None:
    with store.change() as connection:
        change = inspections.Change(claimed=claimed, fields={"state": state}, park=True)
        assert inspections.apply(connection, [change], now=1.0)


def test_one_request_does_not_wait_behind_the_many_of_another_namespace(store: Store) -> None:
    settle(store, "many")
    settle(store, "few")
    for number in range(10):
        ask(store, of("many", name=f"many{number}"))
    (first,) = claim(store, limit=1)
    begin(store, first)
    ask(store, of("few", name="few"))
    assert names(claim(store, limit=3)) == ["many1", "few", "many2"]


def test_twice_the_weight_is_twice_the_share(store: Store) -> None:
    settle(store, "light", weight=1.0)
    settle(store, "heavy", weight=2.0)
    for _ in range(8):
        ask(store, of("light", name="light"))
        ask(store, of("heavy", name="heavy"))
    assert sorted(names(claim(store, limit=6))) == ["heavy"] * 4 + ["light"] * 2


def test_many_repeats_cost_more_turns_than_one(store: Store) -> None:
    settle(store, "a")
    settle(store, "b")
    run = Run(command=("true",), repeat=50)
    ask(store, of("a", name="fifty", run=run))
    ask(store, of("a", name="after"))
    ask(store, of("b", name="one"))
    assert names(claim(store, limit=3)) == ["one", "fifty", "after"]
    assert fairness.cost([Request(run=run)]) == 51


def test_the_repeats_of_a_group_interleave(store: Store) -> None:
    a, b = ask(store, of("default", name="a"), of("default", name="b"))
    claimed = {item.inspection.id: item for item in claim(store)}
    assert claimed[a].rank == claimed[b].rank
    for id_ in (a, b):
        attach(store, id_, *(job(f"run:{turn}", serial=id_, turn=turn) for turn in range(2)))
    with store.change() as connection:
        started = jobs.start(
            connection, owner="w", node="local/fake", cpus=(0, 1), memory=None, now=1.0, lease=10.0
        )
    assert len({one.attempt.job_id for one in started}) == 2


def test_who_has_priority_comes_first_whatever_the_namespace(store: Store) -> None:
    settle(store, "a")
    settle(store, "b")
    ask(store, of("a", name="plain"))
    ask(store, of("b", name="urgent", priority=5))
    assert names(claim(store, limit=1)) == ["urgent"]


def test_a_full_quota_of_inspections_lets_the_rest_wait_and_others_pass(store: Store) -> None:
    settle(store, "a", quota=Quota(queued=2))
    for number in range(4):
        ask(store, of("a", name=f"a{number}"))
    ask(store, of("default", name="other"))
    claimed = claim(store)
    assert names(claimed) == ["a0", "other", "a1"]
    for item in claimed:
        begin(store, item)
    assert claim(store) == []
    with store.database.read() as connection:
        assert not inspections.any_due(connection, 1000.0, "")
        assert fairness.usage(connection, "a").full == ("queued",)
        assert fairness.usage(connection, "a").queued == 2


def test_what_ends_makes_room_for_what_waits(store: Store) -> None:
    settle(store, "a", quota=Quota(queued=1))
    ask(store, of("a", name="first"))
    ask(store, of("a", name="second"))
    (first,) = claim(store)
    begin(store, first, state="done")
    assert names(claim(store)) == ["second"]


def test_what_waits_for_a_quota_can_be_cancelled(store: Store) -> None:
    settle(store, "a", quota=Quota(queued=0))
    (id_,) = ask(store, of("a", name="held"))
    assert claim(store) == []
    with store.change() as connection:
        assert inspections.flag_cancel(connection, id_)
    assert names(claim(store)) == ["held"]


def test_a_full_quota_of_attempts_or_cpus_lets_jobs_of_others_pass(store: Store) -> None:
    settle(store, "a", quota=Quota(running=1))
    settle(store, "b", quota=Quota(cpu=1.0))
    for namespace in ("a", "b", "default"):
        (id_,) = ask(store, of(namespace))
        with store.change() as connection:
            turn = jobs.Turn(lead=1, namespace=namespace)
            new = [job(f"run:{number}", turn=number) for number in range(2)]
            jobs.attach(connection, id_, new, turn=turn, now=1.0)
    with store.database.read() as connection:
        assert fairness.usage(connection, "a").running == 0
    assert len(start(store, cpus=range(8))) == 4  # one of a, one of b, both of the namespace without a quota
    assert start(store, cpus=range(8)) == []


def test_a_full_storage_holds_new_inspections_until_something_is_removed(store: Store) -> None:
    settle(store, "a", quota=Quota(storage=100))
    (old,) = ask(store, of("a", name="old"))
    (claimed,) = claim(store)
    attach(store, old, job())
    (one,) = start(store)
    with store.change() as connection:
        jobs.finish(connection, one, result={}, failure=None, state="succeeded", now=1.0, size=150)
    begin(store, claimed, state="done")
    ask(store, of("a", name="new"))
    assert claim(store) == []
    with store.change() as connection:
        assert fairness.usage(connection, "a").storage == 150
        inspections.remove(connection, old)
        assert fairness.usage(connection, "a").storage == 0
    assert names(claim(store)) == ["new"]
