"""A worker over a runner from memory whose store or runner fails at the worst moment: nothing that was begun is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from djed.config import Config, load
from djed.errors import DjedError, RunnerError, StoreFullError, UnsafeError
from djed.model.inspection import FINAL, Inspection, JobRecord
from djed.pipeline import Context, Move
from djed.store import job_records, jobs, lookup
from djed.store.store import Store
from djed.testing.fake_runner import FakeRunner, Played
from djed.toolbox import bell
from djed.worker import Worker
from djed.worker.context import StoreContext
from tests.support import engine as queue
from tests.support.live import until


@pytest.fixture
def config(data: Path) -> Config:
    return load({"data": str(data), "worker.lease": "5s"}, environ={})


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    store = Store(config.data)
    yield store
    store.close()


def run_three(_inspection: Inspection, records: Sequence[JobRecord], _context: Context) -> Move:
    """A flow of three jobs at once."""
    if not records:
        return Move(jobs=tuple(queue.job(f"run:{i}") for i in range(3)), park=True)
    if any(record.state in {"queued", "active"} for record in records):
        return Move(park=True)
    return Move(changes={"state": "done", "outcome": "succeeded"})


def complete(store: Store, runner: FakeRunner, config: Config) -> list[JobRecord]:
    """Let a worker do one inspection to its end; the jobs."""
    (id_,) = queue.add(store, queue.inspection())
    worker = Worker(
        store,
        {"local": runner},
        StoreContext(store, config, runner.nodes(), {}),
        config,
        flow={"queued": run_three},
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: _state(store, id_) in FINAL)
    finally:
        worker.stop()
        thread.join(20)
    with store.database.read() as connection:
        return job_records.of_inspection(connection, [id_], with_results=True)[id_]


def _state(store: Store, id_: str) -> str:
    with store.database.read() as connection:
        return lookup.get(connection, id_).state


def failing_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: DjedError) -> list[str]:
    """Let a function fail the first time it is called."""
    real: Callable[..., Any] = getattr(owner, name)
    calls: list[str] = []

    def fails(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == 1:
            raise error
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, fails)
    return calls


def test_attempts_whose_refusal_cannot_be_written_are_not_forgotten(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner(lambda _: Played(refusal=UnsafeError("Tampered with.")))
    calls = failing_once(monkeypatch, jobs, "finish", StoreFullError("No space."))
    records = complete(store, runner, config)
    assert [record.failure and record.failure.kind for record in records] == ["artifact_damaged"] * 3
    assert len(calls) == 4


def test_a_result_for_which_there_is_no_space_is_brought_home_later(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner(lambda attempt: Played(stdout=attempt.name.encode()))
    failing_once(monkeypatch, store.blobs, "put", StoreFullError("No space."))
    records = complete(store, runner, config)
    assert [record.state for record in records] == ["succeeded"] * 3
    assert [record.result and record.result["stdout"] for record in records] == [
        record.attempt for record in records
    ]
    assert len(runner.starts) == len(set(runner.starts)) == 3


def test_a_result_that_cannot_be_written_is_written_later_and_only_then_let_go_of(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner()
    failing_once(monkeypatch, jobs, "finish", StoreFullError("No space."))
    records = complete(store, runner, config)
    assert [record.state for record in records] == ["succeeded"] * 3
    assert sorted(runner.released) == sorted(runner.starts)


def test_a_runner_that_cannot_let_go_does_not_stop_the_worker(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner()
    failing_once(monkeypatch, runner, "release", RunnerError("Busy.", transient=True))
    assert [record.state for record in complete(store, runner, config)] == ["succeeded"] * 3


def test_what_was_lost_after_its_cancellation_is_not_started_again(store: Store) -> None:
    (id_,) = queue.add(store, queue.inspection())
    queue.attach(store, id_, queue.job())
    (started,) = queue.start(store)
    with store.change() as connection:
        assert jobs.cancel_for(connection, id_) == 1
        assert jobs.retry(connection, started, now=1.0)
    assert queue.start(store) == []


def test_a_job_that_is_being_cancelled_serves_nobody_else(store: Store) -> None:
    first, second = queue.add(store, queue.inspection(), queue.inspection())
    queue.attach(store, first, queue.job("build", key="same"))
    queue.start(store)
    with store.change() as connection:
        jobs.cancel_for(connection, first)
    queue.attach(store, second, queue.job("build", key="same"))
    (fresh,) = queue.start(store)
    with store.database.read() as connection:
        assert job_records.users(connection, fresh.attempt.job_id) == [second]


def test_no_bell_is_taken_for_dead_while_it_is_hung(tmp_path: Path) -> None:
    wrong: list[str] = []
    over = threading.Event()

    @contextmanager
    def neighbour() -> Iterator[None]:
        def look() -> None:
            while not over.is_set():
                wrong.extend(bell.dead(tmp_path))
                bell.ring(tmp_path)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    with neighbour():
        hung = [bell.Bell(tmp_path) for _ in range(60)]
        assert all((tmp_path / f"{item.name}.bell").exists() for item in hung)
    assert wrong == []
    for item in hung:
        item.close()


def test_a_bell_that_is_taken_away_while_it_is_rung_is_nobodys_trouble(tmp_path: Path) -> None:
    over = threading.Event()
    failures: list[BaseException] = []

    def ring() -> None:
        try:
            while not over.is_set():
                bell.ring(tmp_path)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=ring)
    thread.start()
    for _ in range(200):
        bell.Bell(tmp_path).close()
    over.set()
    thread.join()
    assert failures == []
