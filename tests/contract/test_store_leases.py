"""Leases, fencing tokens and wake-ups: what every database of the store must do."""

from __future__ import annotations

import sqlalchemy as sa

from djed.model.observation import Failure
from djed.store import inspections, job_records, jobs, lookup
from djed.store.schema import attempts
from djed.store.schema import jobs as job_table
from djed.store.store import Store
from tests.support.engine import NODE, add, attach, claim, inspection, job, start


def apply(
    store: Store,
    claimed: inspections.Claimed,
    *,
    park: bool = False,
    keep: bool = False,
    state: str = "running",
) -> bool:
    with store.change() as connection:
        change = inspections.Change(claimed=claimed, fields={"state": state}, park=park, keep=keep)
        return bool(inspections.apply(connection, [change], now=1.0))


def test_what_is_claimed_is_not_claimed_again_before_the_lease_ends(store: Store) -> None:
    add(store, inspection())
    assert len(claim(store, owner="a", now=1000, lease=10)) == 1
    assert claim(store, owner="b", now=1009) == []
    assert len(claim(store, owner="b", now=1011)) == 1


def test_a_late_writer_is_refused(store: Store) -> None:
    (id_,) = add(store, inspection())
    (late,) = claim(store, owner="a", now=1000, lease=10)
    (current,) = claim(store, owner="b", now=1011, lease=10)
    assert current.inspection.token == late.inspection.token + 1
    assert not apply(store, late, state="cancelled")
    assert apply(store, current, state="locking")
    with store.database.read() as connection:
        assert lookup.get(connection, id_).state == "locking"


def test_a_parked_inspection_waits_until_it_is_woken(store: Store) -> None:
    (id_,) = add(store, inspection())
    (claimed,) = claim(store)
    apply(store, claimed, park=True)
    assert claim(store, now=5000) == []
    with store.change() as connection:
        inspections.wake(connection, [id_])
    assert [item.inspection.id for item in claim(store, now=5000)] == [id_]


def test_a_wake_up_between_claim_and_park_is_not_lost(store: Store) -> None:
    (id_,) = add(store, inspection())
    (claimed,) = claim(store)
    with store.change() as connection:
        inspections.wake(connection, [id_])
    apply(store, claimed, park=True)
    assert len(claim(store, now=1000)) == 1


def test_a_final_inspection_is_never_due_again(store: Store) -> None:
    (id_,) = add(store, inspection())
    (claimed,) = claim(store)
    apply(store, claimed, state="done")
    with store.change() as connection:
        inspections.wake(connection, [id_])
        assert not inspections.flag_cancel(connection, id_)
    assert claim(store, now=5000) == []


def test_higher_priority_is_claimed_first_then_the_older_group(store: Store) -> None:
    old, urgent = inspection(name="old"), inspection(name="urgent", priority=5)
    add(store, old)
    add(store, urgent)
    assert [item.inspection.name for item in claim(store, limit=2)] == ["urgent", "old"]


def test_jobs_start_in_turns_across_a_group_and_one_at_a_time_for_each_inspection(store: Store) -> None:
    a, b = add(store, inspection(name="a"), inspection(name="b"))
    for id_ in (a, b):
        attach(store, id_, *(job(f"run:{turn}", serial=id_, turn=turn) for turn in range(2)))
    order = []
    while started := start(store, cpus=(0,)):
        (one,) = started
        with store.database.read() as connection:
            ((inspection_, _, role),) = job_records.roles(connection, one.attempt.job_id)
            order.append((inspection_, role))
        finish(store, one)
    assert order == [(a, "run:0"), (b, "run:0"), (a, "run:1"), (b, "run:1")]


def finish(store: Store, started: jobs.Started, failure: Failure | None = None) -> bool:
    with store.change() as connection:
        return jobs.finish(connection, started, result={}, failure=failure, state="succeeded", now=1.0)


def test_no_two_attempts_have_the_same_cpu(store: Store) -> None:
    (id_,) = add(store, inspection())
    attach(store, id_, *(job(f"run:{number}", turn=number) for number in range(3)))
    assert [one.attempt.cpus for one in start(store, cpus=(4, 5))] == [(4,), (5,)]
    assert start(store, cpus=(4, 5)) == []


def test_a_job_that_wants_the_whole_node_is_not_overtaken(store: Store) -> None:
    (id_,) = add(store, inspection())
    attach(store, id_, job("run:0", cpu=1), job("run:1", cpu=None, turn=1), job("run:2", cpu=1, turn=2))
    (first,) = start(store)
    assert first.attempt.cpus == (0,)
    finish(store, first)
    (second,) = start(store)
    assert second.attempt.cpus == (0, 1)


def test_jobs_with_one_key_are_one_job(store: Store) -> None:
    a, b = add(store, inspection(), inspection())
    attach(store, a, job("build", key="digest"))
    attach(store, b, job("build", key="digest"))
    (started,) = start(store)
    finish(store, started)
    with store.database.read() as connection:
        found = job_records.of_inspection(connection, [a, b], with_results=False)
    assert [record.id for record in found[a]] == [record.id for record in found[b]]
    assert start(store) == []


def test_a_finished_job_wakes_all_who_wait_for_it(store: Store) -> None:
    ids = add(store, inspection(), inspection())
    for claimed in claim(store):
        apply(store, claimed, park=True)
    for id_ in ids:
        attach(store, id_, job("build", key="digest"))
    (started,) = start(store)
    assert claim(store) == []
    finish(store, started)
    assert len(claim(store)) == 2


def test_an_attempt_is_committed_with_its_name_before_anyone_starts_it(store: Store) -> None:
    (id_,) = add(store, inspection())
    attach(store, id_, job())
    (started,) = start(store)
    with store.database.read() as connection:
        row = connection.execute(sa.select(attempts)).one()
    assert (row.name, row.state) == (f"djed-{started.attempt.job_id}-1", "started")


def test_an_attempt_of_a_silent_worker_is_adopted_and_the_silent_one_refused(store: Store) -> None:
    (id_,) = add(store, inspection())
    attach(store, id_, job())
    (late,) = start(store, owner="a", now=1000, lease=10)
    with store.change() as connection:
        assert jobs.adopt(connection, owner="b", nodes=[NODE], now=1009, lease=10) == []
        (adopted,) = jobs.adopt(connection, owner="b", nodes=[NODE], now=1011, lease=10)
    assert adopted.adopted
    assert adopted.attempt.name == late.attempt.name
    assert not finish(store, late)
    assert finish(store, adopted)


def test_a_lost_attempt_makes_way_for_the_next_and_stays_on_record(store: Store) -> None:
    (id_,) = add(store, inspection())
    attach(store, id_, job())
    (first,) = start(store)
    with store.change() as connection:
        assert jobs.retry(connection, first, now=1.0)
    (second,) = start(store)
    assert second.attempt.number == 2
    assert finish(store, second)
    assert not finish(store, second)
    with store.database.read() as connection:
        states = connection.execute(sa.select(attempts.c.state).order_by(attempts.c.number)).scalars().all()
    assert states == ["lost", "accepted"]


def test_cancelling_spares_a_job_that_others_wait_for(store: Store) -> None:
    a, b = add(store, inspection(), inspection())
    attach(store, a, job("build", key="shared"), job("run:0"))
    attach(store, b, job("build", key="shared"))
    with store.change() as connection:
        assert jobs.cancel_for(connection, a) == 0
        states = {
            row.key: row.state for row in connection.execute(sa.select(job_table.c.key, job_table.c.state))
        }
        assert [
            record.role for record in job_records.of_inspection(connection, [a], with_results=False)[a]
        ] == ["run:0"]
    assert states == {"shared": "queued", None: "cancelled"}


def test_cancelling_flags_what_runs_for_its_worker(store: Store) -> None:
    (id_,) = add(store, inspection())
    attach(store, id_, job())
    (started,) = start(store, owner="a")
    with store.change() as connection:
        assert jobs.cancel_for(connection, id_) == 1
        assert job_records.cancelled(connection, "a") == [started.attempt.name]
        assert job_records.cancelled(connection, "b") == []
