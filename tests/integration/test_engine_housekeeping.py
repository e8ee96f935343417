"""Removing, cleaning up and measuring the floor: what is in use stays, what is evidence stays, the rest goes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from djed.errors import ConflictError, NotFoundError
from djed.model.summary import Collected
from djed.service import Engine
from djed.store import events
from djed.store.schema import artifacts
from tests.support.index import LoopbackIndex, wheel
from tests.support.live import open_engine, outcomes, packages, script, submit, until

pytestmark = pytest.mark.needs("uv")


@pytest.fixture
def engine(data: Path) -> Iterator[Engine]:
    with open_engine(data) as engine:
        yield engine


def age(engine: Engine, seconds: float = 7200.0) -> None:
    """Let all that is kept be older."""
    before = time.time() - seconds
    for digest, _, _ in engine.store.blobs.all():
        os.utime(engine.store.blobs.path(digest), (before, before))
    with engine.store.change() as connection:
        connection.execute(artifacts.update().values(used_at=before))


def test_removing_forgets_the_jobs_and_keeps_the_observations(engine: Engine) -> None:
    (id_,) = submit(engine, script("echo gone\n"))
    engine.wait([id_])
    seen = engine.observations(id_).items
    assert {item.kind for item in seen} >= {"builds", "runs"}
    assert engine.remove([id_]) == 1
    with pytest.raises(NotFoundError):
        engine.get(id_)
    with engine.store.database.read() as connection:
        for table in ("jobs", "attempts", "job_uses"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0, table
        assert events.after(connection, [id_], "") == []
    assert [item.seq for item in engine.observations().items] == [item.seq for item in seen]


def test_what_is_not_final_is_not_removed_and_nothing_beside_it(engine: Engine) -> None:
    first, second = submit(engine, script("exit 0\n"), script("exit 0 # two\n"))
    engine.cancel(first)
    engine.wait([first])
    (third,) = submit(engine, script("exit 0 # three\n"))
    with pytest.raises(ConflictError):
        engine.remove([first, third])
    assert engine.get(first).state == "cancelled"
    assert engine.get(second).id == second


def test_a_clean_up_finds_nothing_where_all_is_in_use(engine: Engine) -> None:
    ids = submit(engine, script("echo kept\n"))
    engine.wait(ids)
    found = engine.gc()
    assert (found.inspections, found.artifacts, found.blobs, found.attempts) == (0, 0, 0, 0)


def test_a_clean_up_keeps_what_results_name_however_old(engine: Engine) -> None:
    ids = submit(engine, script('echo kept; echo out > "$DJED_OUTPUTS/file"\n'))
    engine.wait(ids)
    age(engine)
    assert engine.gc().blobs == 0
    (record,) = (item for item in engine.jobs(ids[0]) if item.role == "run:0")
    assert engine.log(record.id) == b"kept\n"
    assert record.result is not None
    assert engine.store.blobs.get(record.result["outputs"][0]["digest"]) == b"out\n"


def test_a_dry_clean_up_counts_what_the_real_one_removes(engine: Engine) -> None:
    ids = submit(engine, script("echo gone\n"))
    engine.wait(ids)
    age(engine)
    (engine.store.attempts / "djed-left-1").mkdir()
    (engine.store.packages / "staging/djed-left-1").mkdir(parents=True)
    dry = engine.gc(older_than=0, dry_run=True)
    assert engine.get(ids[0]).outcome == "succeeded"
    assert (engine.store.attempts / "djed-left-1").exists()
    assert engine.gc(older_than=0) == dry
    assert (dry.inspections, dry.artifacts, dry.attempts) == (1, 1, 2)
    assert dry.blobs >= 2  # the script and its output
    assert list(engine.store.blobs.all()) == []
    assert list(engine.store.artifacts.glob("venv/*")) == []
    assert engine.gc(older_than=0) == Collected()


def test_what_a_clean_up_took_is_built_again_when_it_is_asked_for(engine: Engine) -> None:
    with LoopbackIndex(wheel("lib", "1.0")) as index:
        environment = packages("lib", index=index.url)
        made = script("import lib\n", path="a.py", environment=environment)
        engine.wait(submit(engine, made))
        age(engine)
        assert engine.gc(older_than=0).artifacts == 1
        assert outcomes(engine.wait(submit(engine, made))) == ["succeeded"]


def test_a_clean_up_leaves_alone_what_runs(engine: Engine, tmp_path: Path) -> None:
    text = f"echo begun; while ! test -e {tmp_path}/go; do sleep 0.01; done; echo done\n"
    with engine.working():
        (id_,) = submit(engine, script(text))
        until(lambda: any(item.role == "run:0" and engine.log(item.id) for item in engine.jobs(id_)))
        age(engine)
        assert engine.gc(older_than=0) == Collected()
        (tmp_path / "go").touch()
        until(lambda: engine.get(id_).state == "done")
    assert engine.get(id_).outcome == "succeeded"


def test_a_clean_up_leaves_alone_what_begins_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = engine.store.attempts / "djed-born-1"
    change = engine.store.change

    @contextmanager
    def busy() -> Iterator[Any]:
        with change() as connection:
            yield connection
        born.mkdir(parents=True)

    monkeypatch.setattr(engine.store, "change", busy)
    engine.gc()
    assert born.exists()


def test_a_content_that_is_put_again_is_young_again(engine: Engine) -> None:
    digest = engine.store.blobs.put(b"unused for long")
    age(engine)
    engine.store.blobs.put(b"unused for long")
    assert engine.gc().blobs == 0
    assert engine.store.blobs.get(digest) == b"unused for long"


def test_the_noise_floor_is_measured_and_kept_for_its_node(engine: Engine) -> None:
    found = engine.noise(repeats=3)
    assert len(found.values) == 6
    (kept,) = [item for item in engine.observations().items if item.kind == "noise_floor"]
    assert kept.subject["node"] == engine.nodes()[0].id
    assert 0 <= kept.value["floor"] < 10


def test_a_noise_floor_that_cannot_be_measured_is_said_in_a_sentence(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("djed.worker.noise._SCRIPT", b"raise SystemExit(3)\n")
    with pytest.raises(ConflictError, match="not measured"):
        engine.noise(repeats=2)


def test_the_list_tells_of_a_reused_result_what_it_tells_of_the_result(engine: Engine) -> None:
    engine.wait(submit(engine, script("echo once\n", repeat=2)))
    submit(engine, script("echo once\n", repeat=2, request={"reuse": "result"}))
    again, first = engine.page().items
    assert first.metric is not None
    assert (again.metric, again.node, again.outcome) == (first.metric, first.node, "succeeded")
