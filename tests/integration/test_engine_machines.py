"""Several machines that share a database: who plans, who works, who reads, and what becomes of one that went away.

A machine is a data folder with a node's name of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from djed.model.request import Build, HardwareRequirement
from djed.service import Engine
from djed.store.schema import jobs
from djed.store.service_schema import log_chunks, nodes
from tests.support.live import open_engine, outcomes, script, submit, until

pytestmark = pytest.mark.needs("uv", "postgresql")


class Machines:
    """Engines on one database and one folder of contents."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self._stack = ExitStack()

    def __getitem__(self, name: str) -> Engine:
        settings: dict[str, Any] = {
            "store": self._url,
            "blobs": str(self._folder / "blobs"),
            "node": name,
            "labels": f"machine={name}",
            "worker.lease": "1s",
            "worker.gone": "4s",
        }
        return self._stack.enter_context(open_engine(self._folder / name, **settings))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def machines(tmp_path: Path, database_url: str) -> Iterator[Machines]:
    found = Machines(tmp_path, database_url)
    yield found
    found.close()


def on(name: str) -> HardwareRequirement:
    return HardwareRequirement(labels={"machine": name})


def known(engine: Engine) -> set[str]:
    with engine.store.database.read() as connection:
        return set(connection.execute(sa.select(nodes.c.id)).scalars())


def test_what_one_machine_is_asked_the_machine_that_fits_does(machines: Machines) -> None:
    door, left, right = machines["door"], machines["left"], machines["right"]
    with left.serving(), right.serving():
        until(lambda: known(door) == {"local/left", "local/right"}, "both nodes")
        ids = submit(
            door, *(script(f"echo {name}\n", hardware=on(name)) for name in ("left", "right", "left"))
        )
        for _ in door.follow(ids):
            pass
        assert {node.id for node in door.nodes()} == {"local/door", "local/left", "local/right"}
    assert outcomes([door.get(id_) for id_ in ids]) == ["succeeded"] * 3
    assert [door.get(id_).plan.run_node for id_ in ids] == ["local/left", "local/right", "local/left"]  # type: ignore[union-attr]
    (run,) = [job for job in door.jobs(ids[1]) if job.role == "run:0"]
    assert door.log(run.id) == b"right\n"


def test_what_runs_elsewhere_is_read_while_it_is_written(machines: Machines, tmp_path: Path) -> None:
    door, far = machines["door"], machines["far"]
    go = tmp_path / "go"
    with far.serving():
        until(lambda: known(door) == {"local/far"}, "the node")
        text = f"echo first\nwhile [ ! -e {go} ]; do sleep 0.02; done\necho second\n"
        (id_,) = submit(door, script(text))
        until(lambda: any(job.role == "run:0" for job in door.jobs(id_)), "the job")
        (run,) = [job.id for job in door.jobs(id_) if job.role == "run:0"]
        until(lambda: door.log(run) == b"first\n", "the first line")
        assert door.log(run, offset=2, limit=3) == b"rst"
        go.touch()
        for _ in door.follow([id_], logs=True):
            pass
        assert door.log(run) == b"first\nsecond\n"

        def dropped() -> bool:
            with door.store.database.read() as connection:
                return connection.execute(sa.select(log_chunks.c.attempt)).first() is None

        until(dropped, "what was sent to be dropped")


def test_build_and_run_that_fit_different_machines_only_are_refused_with_the_reason(
    machines: Machines,
) -> None:
    door, left, right = machines["door"], machines["left"], machines["right"]
    asked = script(request={"build": Build(hardware=on("left"))}, hardware=on("right"))
    with left.serving(), right.serving():
        until(lambda: len(known(door)) == 2, "both nodes")
        (id_,) = submit(door, asked)
        for _ in door.follow([id_]):
            pass
    found = door.get(id_)
    assert found.state == "refused"
    assert found.failure is not None
    assert "No one machine" in found.failure.message


def test_the_work_of_a_machine_that_went_away_is_done_elsewhere(machines: Machines) -> None:
    door, dead, alive = machines["door"], machines["dead"], machines["alive"]
    with dead.serving():
        until(lambda: known(door) == {"local/dead"}, "the node")
        (id_,) = submit(door, script("sleep 1000\n"))
        until(lambda: any(job.state == "active" and job.kind == "run" for job in door.jobs(id_)), "the run")
        (lost,) = [job.id for job in door.jobs(id_) if job.role == "run:0"]
    with door.store.change() as connection:  # as if nothing had been heard of it for long
        connection.execute(sa.update(nodes).values(seen_at=time.time() - 100))
    with alive.serving():
        until(lambda: door.get(id_).plan is not None and _node(door, id_) == "local/alive", "the new plan")
        until(lambda: any(job.state == "active" and job.role == "run:0" for job in door.jobs(id_)), "the run")
        door.cancel(id_)
        for _ in door.follow([id_]):
            pass
    assert door.get(id_).state == "cancelled"
    with door.store.database.read() as connection:
        states = {row.id: row.state for row in connection.execute(sa.select(jobs.c.id, jobs.c.state))}
    assert states[lost] == "cancelled"
    assert [attempt.state for attempt in door.attempts(id_) if attempt.job == lost] == ["lost"]
    (attempt,) = [attempt.name for attempt in door.attempts(id_) if attempt.job == lost]
    result = dead.store.attempts / attempt / "result.json"
    assert not result.exists()
    with dead.working():  # it comes back, and ends what is not its own any more
        until(result.exists, "the end of the old attempt")


def _node(engine: Engine, id_: str) -> str | None:
    plan = engine.get(id_).plan
    return plan.run_node if plan else None
