"""The engine over PostgreSQL: the flow with real processes, several machines, and kill -9."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from djed.service import Engine
from djed.testing.kill_loop import kill_loop
from tests.support.index import LoopbackIndex, sdist, wheel
from tests.support.live import open_engine, outcomes, packages, script, submit, until

pytestmark = pytest.mark.needs("uv", "postgresql")


@pytest.fixture
def engine(data: Path, database_url: str) -> Iterator[Engine]:
    with open_engine(data, store=database_url) as engine:
        yield engine


def test_packages_are_locked_built_once_and_run(engine: Engine) -> None:
    with LoopbackIndex(
        wheel("app", "1.0", requires=["lib"]), wheel("lib", "2.0"), sdist("raw", "1.0")
    ) as index:
        wanted = script(
            "python -c 'import app, lib, raw'\n",
            environment=packages("app", "raw", index=index.url),
            repeat=3,
        )
        found = engine.wait(submit(engine, wanted, wanted))
    assert outcomes(found) == ["succeeded", "succeeded"]
    builds = [{job.id for job in engine.jobs(item.id) if job.kind != "run"} for item in found]
    assert builds[0] == builds[1]
    kinds = [event.kind for event in engine.events([found[0].id])]
    assert (kinds[0], kinds[-1]) == ("state", "done")


def test_a_running_job_is_cancelled(engine: Engine) -> None:
    with engine.working():
        (id_,) = submit(engine, script("sleep 60\n"))
        until(lambda: any(job.state == "active" for job in engine.jobs(id_)))
        engine.cancel(id_)
        for _ in engine.follow([id_]):
            pass
    assert outcomes([engine.get(id_)]) == ["cancelled"]


def test_two_machines_share_the_work_and_each_sees_all_of_it(tmp_path: Path, database_url: str) -> None:
    with ExitStack() as stack:
        here, there = (
            stack.enter_context(
                open_engine(tmp_path / name, store=database_url, node=name, blobs=str(tmp_path / "blobs"))
            )
            for name in ("here", "there")
        )
        ids = submit(here, *(script(f"echo {number}\n") for number in range(6)))
        with here.working(), there.working():
            for _ in there.follow(ids):
                pass
        found = [there.get(id_) for id_ in ids]
        assert outcomes(found) == ["succeeded"] * 6
        logs = [there.log(there.jobs(id_)[-1].id) for id_ in ids]
        assert logs == [f"{number}\n".encode() for number in range(6)]


@pytest.mark.timeout(120)
def test_twenty_kills_of_two_workers_break_no_promise(data: Path, database_url: str) -> None:
    report = kill_loop(data, kills=20, url=database_url)
    assert report.clean, report
