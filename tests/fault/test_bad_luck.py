"""Things that go away, are changed or jump while inspections are under way: a named class or a second try, and nothing is lost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from djed.errors import MissingPartError
from djed.model.inspection import Inspection, JobRecord
from djed.model.request import Environment
from djed.service import Engine
from djed.store.schema import attempts
from tests.support.index import LoopbackIndex, wheel
from tests.support.live import open_engine, outcomes, packages, script, submit, until

pytestmark = pytest.mark.needs("uv")


@pytest.fixture
def engine(data: Path) -> Iterator[Engine]:
    with open_engine(data, worker__lease="1s") as engine:
        yield engine


def gated(folder: Path) -> str:
    return f"echo x >> {folder}/started; while ! test -e {folder}/go; do sleep 0.01; done; echo done\n"


def the_run(engine: Engine, id_: str) -> JobRecord:
    return next(item for item in engine.jobs(id_) if item.role == "run:0")


def done(engine: Engine, id_: str) -> Inspection:
    (found,) = engine.wait([id_])
    return found


def failure(found: Inspection) -> tuple[str, str] | None:
    return (found.failure.stage, found.failure.kind) if found.failure else None


def states(engine: Engine) -> list[str]:
    with engine.store.database.read() as connection:
        return list(connection.execute(sa.select(attempts.c.state).order_by(attempts.c.started_at)).scalars())


@pytest.fixture
def environment() -> Iterator[Environment]:
    with LoopbackIndex(wheel("lib", "1.0")) as index:
        yield packages("lib", index=index.url)


def test_without_uv_a_sentence_says_so_and_what_was_accepted_waits(data: Path) -> None:
    with open_engine(data, uv="/nowhere/uv") as lame:
        (data / "pythons.json").unlink()
        (id_,) = submit(lame, script())
        with pytest.raises(MissingPartError, match="/nowhere/uv") as caught:
            lame.wait([id_])
        assert caught.value.exit_code == 6
        assert lame.get(id_).state == "queued"
    with open_engine(data) as engine:
        assert outcomes(engine.wait([id_])) == ["succeeded"]


def test_uv_that_goes_away_later_fails_the_build_with_a_name_and_a_retry_succeeds(
    data: Path, tmp_path: Path, environment: Environment
) -> None:
    copy = tmp_path / "uv"
    copy.write_text("#!/bin/sh\nexit 0\n")
    copy.chmod(0o755)
    with open_engine(data, uv=str(copy)) as engine:
        (id_,) = submit(engine, script(environment=environment))
        with engine.working():
            copy.unlink()
            until(lambda: engine.get(id_).state == "done")
        found = engine.get(id_)
        assert found.outcome == "failed"
        assert found.failure is not None
        assert found.failure.stage == "lock"
        assert "uv" in found.failure.message
    with open_engine(data) as engine:
        assert outcomes([done(engine, engine.retry(id_).id)]) == ["succeeded"]


def test_an_artifact_that_was_tampered_with_is_not_run_and_a_retry_builds_it_anew(
    engine: Engine, environment: Environment
) -> None:
    made = script("import lib; print(lib.VERSION)\n", path="a.py", environment=environment)
    (first,) = engine.wait(submit(engine, made))
    (module,) = (engine.store.artifacts / "venv").glob("*/lib/python*/site-packages/lib/__init__.py")
    module.chmod(0o644)
    module.write_text("VERSION = 'evil'\n")
    (id_,) = submit(engine, made)
    assert failure(done(engine, id_)) == ("run", "artifact_damaged")
    again = done(engine, engine.retry(id_).id)
    assert (again.outcome, again.artifact) == ("succeeded", first.artifact)
    assert engine.log(the_run(engine, again.id).id) == b"1.0\n"


def test_an_artifact_that_somebody_removed_is_built_again(engine: Engine, environment: Environment) -> None:
    made = script("import lib\n", path="a.py", environment=environment)
    engine.wait(submit(engine, made))
    shutil.rmtree(engine.store.artifacts)
    (again,) = engine.wait(submit(engine, made))
    assert again.outcome == "succeeded"
    assert "build" in [item.role for item in engine.jobs(again.id)]


def test_a_script_that_somebody_removed_from_the_store_is_named(engine: Engine) -> None:
    (id_,) = submit(engine, script("exit 0 # gone\n"))
    shutil.rmtree(engine.store.blobs.root)
    found = done(engine, id_)
    assert failure(found) == ("run", "artifact_damaged")
    assert found.failure is not None
    assert "not in the store" in found.failure.message


def test_a_log_that_somebody_removed_is_a_sentence_and_the_result_stays(engine: Engine) -> None:
    (id_,) = submit(engine, script("echo said\n"))
    done(engine, id_)
    shutil.rmtree(engine.store.blobs.root)
    assert engine.get(id_).outcome == "succeeded"
    assert the_run(engine, id_).result


def test_a_package_cache_that_is_deleted_while_it_is_used_ends_in_a_name_or_well(
    engine: Engine, environment: Environment
) -> None:
    (id_,) = submit(engine, script("import lib\n", path="a.py", environment=environment))
    with engine.working():
        until(lambda: any(item.role == "build" and item.state == "active" for item in engine.jobs(id_)))
        shutil.rmtree(engine.config.data / "packages", ignore_errors=True)
        until(lambda: engine.get(id_).state == "done")
    found = engine.get(id_)
    assert found.outcome == "succeeded" or failure(found) == ("build", "build_backend_failed"), found.failure
    assert outcomes([done(engine, engine.retry(id_).id)]) == ["succeeded"]


def test_a_job_directory_that_is_removed_under_its_job_is_a_lost_attempt(
    engine: Engine, tmp_path: Path
) -> None:
    (id_,) = submit(engine, script(gated(tmp_path)))
    with engine.working():
        until((tmp_path / "started").exists)
        attempt = the_run(engine, id_).attempt
        assert attempt is not None
        until(
            (engine.store.attempts / attempt / "hwinfo.json").exists
        )  # the supervisor writes no more for now
        shutil.rmtree(engine.store.attempts / attempt)
        (tmp_path / "go").touch()
        until(lambda: engine.get(id_).state == "done")
    assert engine.get(id_).outcome == "succeeded"
    assert states(engine)[-2:] == ["lost", "accepted"]


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
def test_a_clock_that_jumps_loses_nothing_and_starts_nothing_twice(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    true_time = time.time
    (id_,) = submit(engine, script(gated(tmp_path)))
    with engine.working():
        until((tmp_path / "started").exists)
        monkeypatch.setattr("time.time", lambda: true_time() + jump)
        (other,) = submit(engine, script("exit 0 # after the jump\n"))
        (tmp_path / "go").touch()
        until(lambda: engine.get(id_).state == engine.get(other).state == "done")
    assert outcomes([engine.get(id_), engine.get(other)]) == ["succeeded"] * 2
    assert (tmp_path / "started").read_text() == "x\n"
    assert set(states(engine)) == {"accepted"}


def test_two_workers_whose_clocks_differ_start_nothing_twice(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_time, skew = time.time, iter(range(0, 10**9, 3600))
    with open_engine(data) as first, open_engine(data) as second:
        ids = submit(first, *(script(f"echo {i} >> {tmp_path}/ledger\n") for i in range(4)))
        # Each look at the clock is an hour later than the one before: every lease has always run out.
        monkeypatch.setattr("djed.worker.loop.time.time", lambda: true_time() + next(skew))
        with first.working(), second.working():
            until(lambda: all(first.get(id_).state == "done" for id_ in ids))
    assert outcomes([first.get(id_) for id_ in ids]) == ["succeeded"] * 4, first.get(ids[0]).failure
    assert sorted((tmp_path / "ledger").read_text().split()) == ["0", "1", "2", "3"]


def test_a_worker_that_breaks_ends_the_wait_with_what_broke_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id_,) = submit(engine, script())

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("djed.worker.mover.advance", broken)
        with pytest.raises(RuntimeError, match="a bug"):
            engine.wait([id_])
    assert outcomes(engine.wait([id_])) == ["succeeded"]
