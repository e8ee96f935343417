"""Workers that stop, come back or share a data folder: every script runs once, and every result arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from djed.model.inspection import JobRecord
from djed.service import Engine
from djed.store.schema import attempts
from tests.support.live import open_engine, outcomes, script, submit, until

pytestmark = pytest.mark.needs("uv")

WORKER = """
import signal, sys
from pathlib import Path
from tests.support.live import open_engine
with open_engine(Path(sys.argv[1]), **{"worker.lease": sys.argv[2]}) as engine, engine.working():
    print("works", flush=True)
    signal.pause()
"""


class Process:
    """An engine with a worker in a process of its own."""

    def __init__(self, data: Path, lease: str = "15s") -> None:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(data), lease],
            env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"},
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"works\n"

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        """At once, wherever it is."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture
def workers(data: Path) -> Iterator[list[Process]]:
    """Processes that end with the test."""
    started: list[Process] = []
    yield started
    for process in started:
        process.end()


def gated(folder: Path) -> str:
    """A script that signs when it starts, and ends when told."""
    return f"echo started >> {folder}/ledger; echo before; while ! test -e {folder}/go; do sleep 0.01; done; echo after\n"


def the_run(engine: Engine, id_: str) -> JobRecord:
    return next(item for item in engine.jobs(id_) if item.role == "run:0")


def attempt_states(engine: Engine) -> list[str]:
    with engine.store.database.read() as connection:
        return list(connection.execute(sa.select(attempts.c.state).order_by(attempts.c.started_at)).scalars())


def check_once(engine: Engine, id_: str, folder: Path) -> None:
    """It ended well, started once, and all that it said was kept."""
    assert outcomes([engine.get(id_)]) == ["succeeded"]
    assert (folder / "ledger").read_text() == "started\n"
    assert engine.log(the_run(engine, id_).id) == b"before\nafter\n"
    assert attempt_states(engine)[-1] == "accepted"


def test_a_script_that_runs_when_its_worker_stops_is_adopted_by_the_next(data: Path, tmp_path: Path) -> None:
    with open_engine(data) as first:
        (id_,) = submit(first, script(gated(tmp_path)))
        with first.working():
            until((tmp_path / "ledger").exists)
    with open_engine(data) as second, second.working():
        (tmp_path / "go").touch()
        until(lambda: second.get(id_).state == "done")
        check_once(second, id_, tmp_path)


def test_a_script_that_ended_while_nobody_worked_is_harvested(data: Path, tmp_path: Path) -> None:
    with open_engine(data) as first:
        (id_,) = submit(first, script(gated(tmp_path)))
        with first.working():
            until((tmp_path / "ledger").exists)
        (tmp_path / "go").touch()
        attempt = the_run(first, id_).attempt
        assert attempt is not None
        until((data / "attempts" / attempt / "result.json").exists)
    with open_engine(data) as second:
        assert outcomes(second.wait([id_])) == ["succeeded"]
        check_once(second, id_, tmp_path)


def test_an_engine_that_is_killed_loses_neither_the_job_nor_a_line(
    data: Path, tmp_path: Path, workers: list[Process]
) -> None:
    with open_engine(data) as engine:
        (id_,) = submit(engine, script(gated(tmp_path)))
        workers.append(Process(data))
        until((tmp_path / "ledger").exists)
        workers[0].end()
        (tmp_path / "go").touch()
        engine.wait([id_])
        check_once(engine, id_, tmp_path)


def test_a_worker_that_watches_takes_over_from_a_dead_one_long_before_the_lease_ends(
    data: Path, tmp_path: Path, workers: list[Process]
) -> None:
    with open_engine(data, worker__lease="3s") as engine:
        (id_,) = submit(engine, script(gated(tmp_path)))
        workers.append(Process(data, "1h"))
        until((tmp_path / "ledger").exists)
        with engine.working():
            workers[0].end()
            (tmp_path / "go").touch()
            until(lambda: engine.get(id_).state == "done", "the adoption")
        check_once(engine, id_, tmp_path)


def test_a_worker_that_sleeps_past_its_lease_is_refused_when_it_wakes(
    data: Path, tmp_path: Path, workers: list[Process]
) -> None:
    with open_engine(data, worker__lease="400ms") as engine:
        (id_,) = submit(engine, script(gated(tmp_path)))
        workers.append(Process(data, "400ms"))
        until((tmp_path / "ledger").exists)
        workers[0].send(signal.SIGSTOP)
        with engine.working():
            (tmp_path / "go").touch()
            until(lambda: engine.get(id_).state == "done", "the adoption")
            workers[0].send(signal.SIGCONT)
            (other,) = submit(engine, script("exit 0 # both are at work again\n"))
            until(lambda: engine.get(other).state == "done")
        check_once(engine, id_, tmp_path)
    assert attempt_states(engine) == ["accepted"] * 3  # environment and run of the one, run of the other


def test_two_engines_share_one_folder_and_do_everything_once(data: Path, tmp_path: Path) -> None:
    with open_engine(data) as first, open_engine(data) as second, first.working(), second.working():
        texts = [f"echo {i} >> {tmp_path}/ledger\n" for i in range(10)]
        ids = [id_ for i, text in enumerate(texts) for id_ in submit((first, second)[i % 2], script(text))]
        for _ in first.follow(ids):
            pass
        assert outcomes([second.get(id_) for id_ in ids]) == ["succeeded"] * 10
    assert sorted((tmp_path / "ledger").read_text().split()) == sorted(map(str, range(10)))
    assert set(attempt_states(first)) == {"accepted"}


def test_a_supervisor_that_is_killed_is_on_record_and_the_script_is_tried_again(
    data: Path, tmp_path: Path
) -> None:
    with open_engine(data) as engine:
        (id_,) = submit(engine, script(gated(tmp_path)))
        with engine.working():
            until((tmp_path / "ledger").exists)
            attempt = the_run(engine, id_).attempt
            assert attempt is not None
            pid = int((data / "attempts" / attempt / "started").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            until(lambda: the_run(engine, id_).attempts == 2, "the second attempt")
            (tmp_path / "go").touch()
            until(lambda: engine.get(id_).state == "done")
        assert engine.get(id_).outcome == "succeeded"
        assert attempt_states(engine)[-2:] == ["lost", "accepted"]
        states = [event.data["state"] for event in engine.events([id_]) if event.data.get("role") == "run:0"]
        assert states == ["waiting", "started", "retried", "started", "succeeded"]


def test_a_cancel_that_nobody_heard_is_done_by_the_next_worker(data: Path, tmp_path: Path) -> None:
    with open_engine(data) as engine:
        (id_,) = submit(engine, script(gated(tmp_path)))
        with engine.working():
            until((tmp_path / "ledger").exists)
        engine.cancel(id_)
        assert outcomes(engine.wait([id_])) == ["cancelled"]


def test_an_inspection_that_nobody_began_is_cancelled_without_a_start(data: Path, tmp_path: Path) -> None:
    with open_engine(data) as engine:
        (id_,) = submit(engine, script(gated(tmp_path)))
        engine.cancel(id_)
        assert outcomes(engine.wait([id_])) == ["cancelled"]
        assert engine.jobs(id_) == []
    assert not (tmp_path / "ledger").exists()
