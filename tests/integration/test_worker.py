"""The worker over a runner from memory: every job ends, however its attempts do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from djed.config import Config, load
from djed.errors import RunnerError, UnsafeError
from djed.model.inspection import FINAL, Inspection, JobRecord
from djed.model.job import Attempt
from djed.model.result import Result
from djed.pipeline import Context, Move, Step
from djed.store import events, inspections, job_records, lookup
from djed.store.schema import attempts
from djed.store.store import Store
from djed.testing.fake_runner import FakeRunner, Played
from djed.worker import Worker
from djed.worker.context import StoreContext
from tests.support import engine


@pytest.fixture
def config(data: Path) -> Config:
    return load({"data": str(data), "worker.lease": "5s"}, environ={})


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    store = Store(config.data)
    yield store
    store.close()


def run_one(inspection: Inspection, records: Sequence[JobRecord], _context: Context) -> Move:
    """A flow of one job."""
    if not records:
        return Move(jobs=(engine.job(),), park=True)
    (record,) = records
    if record.state in {"queued", "active"}:
        return Move(park=True)
    outcome = "succeeded" if record.failure is None else "failed"
    return Move(changes={"state": "done", "outcome": outcome, "failure": record.failure})


FLOW: Mapping[str, Step] = {"queued": run_one}


@contextmanager
def working(store: Store, runner: FakeRunner, config: Config) -> Iterator[Worker]:
    context = StoreContext(store, config, runner.nodes(), {})
    worker = Worker(store, {"local": runner}, context, config, flow=FLOW)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(20)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.002)


def done(store: Store, id_: str) -> Inspection:
    def final() -> bool:
        with store.database.read() as connection:
            return lookup.get(connection, id_).state in FINAL

    until(final)
    with store.database.read() as connection:
        return lookup.get(connection, id_)


def states(store: Store) -> list[str]:
    with store.database.read() as connection:
        return list(connection.execute(sa.select(attempts.c.state).order_by(attempts.c.number)).scalars())


def test_a_job_is_run_once_and_its_result_kept(store: Store, config: Config) -> None:
    runner = FakeRunner(lambda _: Played(stdout=b"hello\n"))
    (id_,) = engine.add(store, engine.inspection())
    with working(store, runner, config):
        assert done(store, id_).outcome == "succeeded"
    with store.database.read() as connection:
        (record,) = job_records.of_inspection(connection, [id_], with_results=True)[id_]
    assert record.result is not None
    assert record.result["stdout"] == "hello\n"
    assert runner.starts == [record.attempt]
    assert runner.released == [record.attempt]


def test_a_lost_attempt_is_tried_again_and_stays_on_record(store: Store, config: Config) -> None:
    runner = FakeRunner(lambda attempt: Played(waits=attempt.number == 1))
    (id_,) = engine.add(store, engine.inspection())
    with working(store, runner, config):
        until(lambda: len(runner.starts) == 1)
        runner.lose(runner.starts[0])
        assert done(store, id_).outcome == "succeeded"
    assert states(store) == ["lost", "accepted"]


def test_a_job_that_is_always_lost_fails_after_the_last_attempt(store: Store, config: Config) -> None:
    runner = FakeRunner(lambda _: Played(result=Result(lost=True)))
    (id_,) = engine.add(store, engine.inspection())
    with working(store, runner, config):
        failure = done(store, id_).failure
    assert failure is not None
    assert failure.kind == "lost"
    assert len(runner.starts) == config.attempts


def test_a_passing_refusal_of_the_target_is_tried_again(store: Store, config: Config) -> None:
    def play(attempt: Attempt) -> Played:
        return Played(refusal=RunnerError("Busy.", transient=True) if attempt.number == 1 else None)

    (id_,) = engine.add(store, engine.inspection())
    with working(store, FakeRunner(play), config):
        assert done(store, id_).outcome == "succeeded"


def test_a_tampered_artifact_is_a_named_failure(store: Store, config: Config) -> None:
    runner = FakeRunner(lambda _: Played(refusal=UnsafeError("It was changed.")))
    (id_,) = engine.add(store, engine.inspection())
    with working(store, runner, config):
        failure = done(store, id_).failure
    assert failure is not None
    assert failure.kind == "artifact_damaged"


def test_cancel_ends_what_runs(store: Store, config: Config) -> None:
    runner = FakeRunner(lambda _: Played(waits=True))
    (id_,) = engine.add(store, engine.inspection())
    with working(store, runner, config):
        until(lambda: len(runner.starts) == 1)
        with store.change() as connection:
            assert inspections.flag_cancel(connection, id_)
        assert done(store, id_).state == "cancelled"


def test_a_worker_that_stops_leaves_the_job_running_and_the_next_adopts_it(
    store: Store, config: Config
) -> None:
    runner = FakeRunner(lambda _: Played(waits=True))
    (id_,) = engine.add(store, engine.inspection())
    with working(store, runner, config):
        until(lambda: len(runner.starts) == 1)
    with working(store, runner, config):
        runner.finish(runner.starts[0])
        assert done(store, id_).outcome == "succeeded"
    assert len(runner.starts) == 1
    assert states(store) == ["accepted"]


def test_the_work_of_a_dead_neighbour_is_taken_over_at_once(store: Store, config: Config) -> None:
    (id_,) = engine.add(store, engine.inspection())
    engine.claim(store, owner="dead", now=time.time(), lease=3600)
    store.bells.mkdir(exist_ok=True)
    (store.bells / "dead.lock").touch()
    with working(store, FakeRunner(), config):
        assert done(store, id_).outcome == "succeeded"


def test_a_lease_that_a_clock_set_far_ahead_does_not_outlive_its_worker(store: Store, config: Config) -> None:
    """The clock was a year ahead when the worker died, and was set back since."""
    (id_,) = engine.add(store, engine.inspection())
    engine.claim(store, owner="dead", now=time.time() + 365 * 86400, lease=10)
    (store.bells).mkdir(exist_ok=True)
    (store.bells / "dead.lock").touch()
    with working(store, FakeRunner(), config):
        assert done(store, id_).outcome == "succeeded"


def test_two_workers_share_the_work_and_none_is_done_twice(store: Store, config: Config) -> None:
    runner = FakeRunner()
    ids = engine.add(store, *(engine.inspection() for _ in range(30)))
    with working(store, runner, config), working(store, runner, config):
        for id_ in ids:
            assert done(store, id_).outcome == "succeeded"
    assert len(runner.starts) == len(set(runner.starts)) == 30


def test_the_timeline_tells_each_step_once_and_in_order(store: Store, config: Config) -> None:
    (id_,) = engine.add(store, engine.inspection())
    with working(store, FakeRunner(), config):
        done(store, id_)
    with store.database.read() as connection:
        told = [(event.kind, event.data.get("state")) for event in events.after(connection, [id_], "")]
    assert told == [
        ("state", "queued"),
        ("job", "waiting"),
        ("job", "started"),
        ("job", "succeeded"),
        ("done", "done"),
    ]
