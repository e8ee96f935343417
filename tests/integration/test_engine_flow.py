"""Inspections from end to end: store, worker, flow and real processes on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from djed.errors import ConflictError, NotFoundError, RequestError
from djed.intake.submission import Submission
from djed.model.inspection import Event, Inspection, JobRecord
from djed.model.request import Environment, File, HardwareRequirement, Request, Resources
from djed.service import Engine
from djed.toolbox.digest import digest_bytes
from tests.support.index import LoopbackIndex, sdist, wheel
from tests.support.live import open_engine, outcomes, packages, script, submit, until

pytestmark = pytest.mark.needs("uv")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine with a worker for all tests of this module: each looks only at its own inspections."""
    with open_engine(tmp_path_factory.mktemp("engine")) as engine, engine.working():
        yield engine


@pytest.fixture(scope="module")
def index() -> Iterator[LoopbackIndex]:
    """Packages for tests, one of them only as a source, one with a build that waits for a file."""
    slow = 'import os, time\nwhile not os.path.exists("/tmp/never"): time.sleep(0.02)\n'
    found = (
        wheel("app", "1.0", requires=["lib"]),
        wheel("lib", "2.0"),
        sdist("raw", "1.0"),
        sdist("slow", "1.0", at_build=slow),
        sdist("bad", "1.0", at_build="raise SystemExit('cannot be built')"),
    )
    with LoopbackIndex(*found) as index:
        yield index


def done(engine: Engine, *submissions: Submission) -> list[Inspection]:
    """Submit together and wait until all are final."""
    ids = submit(engine, *submissions)
    for _ in engine.follow(ids):
        pass
    return [engine.get(id_) for id_ in ids]


def job(engine: Engine, id_: str, role: str) -> JobRecord | None:
    return next((item for item in engine.jobs(id_) if item.role == role), None)


def is_running(engine: Engine, id_: str, role: str = "run:0") -> bool:
    found = job(engine, id_, role)
    return found is not None and found.state == "active"


def stdout(engine: Engine, id_: str, role: str = "run:0") -> str:
    found = job(engine, id_, role)
    assert found is not None
    return engine.log(found.id).decode()


def told(events: Sequence[Event], role: str) -> list[str]:
    return [event.data["state"] for event in events if event.kind == "job" and event.data["role"] == role]


def test_packages_are_locked_built_from_source_where_needed_and_imported(
    engine: Engine, index: LoopbackIndex
) -> None:
    environment = packages("app", "raw", index=index.url)
    (found,) = done(
        engine,
        script("import app, lib, raw\nprint(lib.VERSION, raw.BUILT)", path="a.py", environment=environment),
    )
    assert outcomes([found]) == ["succeeded"], found.failure
    assert stdout(engine, found.id) == "2.0 True\n"
    assert found.lock is not None
    assert found.lock.stack == {"app": "1.0", "lib": "2.0", "raw": "1.0"}
    assert [item.role for item in engine.jobs(found.id)] == ["lock", "wheel:raw", "build", "run:0"]


def test_one_environment_is_locked_and_built_once_for_all_who_ask_together(
    engine: Engine, index: LoopbackIndex
) -> None:
    environment = packages("lib", index=index.url, variables={"WHO": "together"})
    found = done(engine, *(script(f"exit 0 # {i}\n", environment=environment) for i in range(4)))
    assert outcomes(found) == ["succeeded"] * 4
    for role in ("lock", "build"):
        made = [record.id for item in found if (record := job(engine, item.id, role))]
        cached = [item for item in found if "cached" in told(engine.events([item.id]), role)]
        assert len(set(made)) == 1
        assert len(made) + len(cached) == 4


def test_an_environment_that_is_there_is_not_built_again_and_the_script_runs_again(
    engine: Engine, index: LoopbackIndex
) -> None:
    environment = packages("lib", index=index.url)
    (first,) = done(engine, script("exit 0 # first\n", environment=environment))
    (second,) = done(engine, script("exit 0 # second\n", environment=environment))
    assert second.artifact == first.artifact
    assert [item.role for item in engine.jobs(second.id)] == ["run:0"]
    assert (told(engine.events([second.id]), "lock"), told(engine.events([second.id]), "build")) == (
        ["cached"],
        ["cached"],
    )


def test_nothing_is_reused_where_the_request_says_so(engine: Engine, index: LoopbackIndex) -> None:
    environment = packages("lib", index=index.url)
    (first,) = done(engine, script(environment=environment))
    (second,) = done(engine, script(environment=environment, request={"reuse": "nothing"}))
    assert outcomes([first, second]) == ["succeeded"] * 2
    assert [item.role for item in engine.jobs(second.id)] == ["lock", "build", "run:0"]
    assert second.artifact != first.artifact


def test_a_result_is_reused_at_once_and_says_of_which(engine: Engine) -> None:
    (first,) = done(engine, script("echo reused\n"))
    (again,) = engine.submit([script("echo reused\n", request={"reuse": "result", "name": "again"})])
    assert (again.state, again.outcome, again.reused, again.name) == ("done", "succeeded", first.id, "again")
    assert again.statistics == first.statistics
    assert list(engine.follow([again.id]))[-1].kind  # type: ignore[union-attr]
    third = engine.submit([script("echo reused\n", request={"reuse": "result"})])[0]
    assert third.reused == first.id


def test_another_request_is_not_answered_by_a_result(engine: Engine) -> None:
    done(engine, script("echo reuse\n"))
    different = script("echo reuse\n", arguments=("x",), request={"reuse": "result"})
    assert engine.submit([different])[0].reused is None


def test_a_failure_answers_nobody(engine: Engine) -> None:
    done(engine, script("exit 3 # answers nobody\n"))
    again = engine.submit([script("exit 3 # answers nobody\n", request={"reuse": "result"})])[0]
    assert again.reused is None


def test_repeats_of_inspections_that_came_together_interleave(engine: Engine, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    everything = Resources()  # the node alone: one at a time
    found = done(
        engine,
        *(script(f"echo {name} >> {ledger}\n", repeat=3, resources=everything) for name in "ab"),
    )
    assert outcomes(found) == ["succeeded"] * 2
    assert ledger.read_text().split() == ["a", "b"] * 3


def test_warm_ups_are_kept_and_not_counted(engine: Engine, tmp_path: Path) -> None:
    count = tmp_path / "count"
    text = f'echo x >> {count}; printf \'{{"@result": {{"turn": %s}}}}\' "$(wc -l < {count})"\n'
    (found,) = done(engine, script(text, warmup=2, repeat=3))
    assert [item.role for item in engine.jobs(found.id)] == [
        "warmup:0",
        "warmup:1",
        "run:0",
        "run:1",
        "run:2",
    ]
    values = {item.metric: item.values for item in found.statistics}
    assert len(values["duration"]) == 3
    assert values["turn"] == (3.0, 4.0, 5.0)


def test_what_fails_the_first_time_is_not_tried_again(engine: Engine) -> None:
    (found,) = done(engine, script("exit 4\n", repeat=5))
    assert found.failure is not None
    assert (found.outcome, found.failure.kind) == ("failed", "nonzero_exit")
    assert [item.state for item in engine.jobs(found.id)] == ["failed"] + ["cancelled"] * 4


def test_what_fails_later_lets_the_others_run(engine: Engine, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f'n=$(cat {mark} 2>/dev/null || echo 0); echo $((n + 1)) > {mark}; test "$n" != 1\n'
    (found,) = done(engine, script(text, repeat=4))
    assert found.outcome == "failed"
    assert [item.state for item in engine.jobs(found.id)] == ["succeeded", "failed", "succeeded", "succeeded"]
    (duration,) = (item for item in found.statistics if item.metric == "duration")
    assert len(duration.values) == 3


def test_without_a_script_the_environment_is_all_that_is_made(engine: Engine, index: LoopbackIndex) -> None:
    environment = packages("lib", index=index.url, variables={"WHO": "only"})
    (found,) = done(engine, Submission(request=Request(environment=environment)))
    assert outcomes([found]) == ["succeeded"], found.failure
    assert found.artifact is not None
    assert job(engine, found.id, "run:0") is None
    with engine.store.database.read() as connection:
        assert connection.exec_driver_sql(
            "SELECT count(*) FROM artifacts WHERE digest = ?", (found.artifact,)
        ).scalar()


def test_outputs_are_kept_and_links_are_not_followed(engine: Engine) -> None:
    text = 'cd "$DJED_OUTPUTS"; mkdir d; printf data > d/f; ln -s /etc/passwd link; mkfifo pipe\n'
    (found,) = done(engine, script(text))
    record = job(engine, found.id, "run:0")
    assert record is not None
    assert record.result is not None
    (kept,) = record.result["outputs"]
    assert (kept["path"], engine.store.blobs.get(kept["digest"])) == ("d/f", b"data")
    assert sorted(line.partition(":")[0] for line in record.result["skipped"]) == ["link", "pipe"]


def test_a_log_can_be_read_from_any_offset_while_the_script_runs_and_after(
    engine: Engine, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    text = f"echo first; while ! test -e {go}; do sleep 0.01; done; echo second; echo err >&2\n"
    (id_,) = submit(engine, script(text))
    until(lambda: is_running(engine, id_) and stdout(engine, id_) == "first\n", "the first line")
    record = job(engine, id_, "run:0")
    assert record is not None
    assert engine.log(record.id, offset=3) == b"st\n"
    go.touch()
    until(lambda: engine.get(id_).state == "done")
    assert engine.log(record.id, offset=6) == b"second\n"
    assert engine.log(record.id, "stderr") == b"err\n"


def test_a_script_that_runs_is_cancelled_with_all_its_processes(engine: Engine, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    (id_,) = submit(
        engine, script(f"sleep 1000 & echo $! > {mark}.new; mv {mark}.new {mark}; wait\n", repeat=3)
    )
    until(mark.exists, "the start")
    engine.cancel(id_)
    until(lambda: engine.get(id_).state == "cancelled", "the cancellation")
    assert not Path(f"/proc/{mark.read_text().strip()}").exists()
    assert {item.state for item in engine.jobs(id_)} == {"cancelled"}
    with pytest.raises(ConflictError):
        engine.cancel(id_)


def test_a_build_is_cancelled_and_the_next_who_asks_has_one_of_its_own(
    engine: Engine, index: LoopbackIndex
) -> None:
    environment = packages("slow", index=index.url)
    (first,) = submit(engine, script(environment=environment))
    until(lambda: is_running(engine, first, "wheel:slow"), "the build")
    engine.cancel(first)
    (second,) = submit(engine, script(environment=environment))
    until(lambda: engine.get(first).state == "cancelled", "the first cancellation")
    until(lambda: is_running(engine, second, "wheel:slow"), "the second build")
    engine.cancel(second)
    until(lambda: engine.get(second).state == "cancelled", "the second cancellation")


def test_a_build_that_another_waits_for_goes_on_when_one_is_cancelled(
    engine: Engine, index: LoopbackIndex
) -> None:
    environment = packages("slow", index=index.url, variables={"WHO": "shared"})
    first, second = submit(engine, script(environment=environment), script(environment=environment))
    until(lambda: is_running(engine, first, "wheel:slow") and is_running(engine, second, "wheel:slow"))
    engine.cancel(first)
    until(lambda: engine.get(first).state == "cancelled", "the cancellation")
    assert is_running(engine, second, "wheel:slow")
    engine.cancel(second)
    until(lambda: engine.get(second).state == "cancelled", "the second cancellation")


def test_a_build_that_fails_names_its_stage_and_class(engine: Engine, index: LoopbackIndex) -> None:
    (found,) = done(engine, script(environment=packages("bad", index=index.url)))
    assert found.failure is not None
    assert (found.failure.stage, found.failure.kind) == ("build", "build_backend_failed")


def test_a_package_that_is_not_there_ends_at_the_lock(engine: Engine, index: LoopbackIndex) -> None:
    (found,) = done(engine, script(environment=packages("nowhere", index=index.url)))
    assert found.failure is not None
    assert (found.failure.stage, found.failure.kind) == ("lock", "no_such_package")


def test_time_that_runs_out_is_an_outcome(engine: Engine) -> None:
    (found,) = done(engine, script("sleep 100\n", timeout="300ms"))
    assert (found.outcome, found.failure and found.failure.kind) == ("timed_out", "timeout")


@pytest.mark.needs("cgroup")
def test_memory_that_runs_out_is_an_outcome(engine: Engine) -> None:
    text = "x = bytearray(300 * 2**20)\n"
    (found,) = done(engine, script(text, path="eat.py", resources=Resources(cpu=1, memory="64Mi")))
    assert found.outcome == "out_of_memory", found.failure


def test_what_fits_nowhere_is_refused_with_the_table(engine: Engine) -> None:
    (found,) = done(engine, script(hardware=HardwareRequirement(cores="4000+")))
    assert found.state == "refused"
    assert found.refusals[0]["for"] == "build" or found.refusals[0]["lines"]
    assert any("4000" in str(row) for row in found.refusals)


def test_a_python_that_is_not_there_ends_at_the_plan(engine: Engine) -> None:
    (found,) = done(engine, script(environment=Environment(python="3.99")))
    assert found.failure is not None
    assert (found.failure.stage, found.failure.kind) == ("plan", "no_python")


def test_a_requirement_that_means_nothing_is_refused_at_the_door(engine: Engine) -> None:
    with pytest.raises(RequestError):
        engine.submit([script(hardware=HardwareRequirement(cores="many"))])


def test_a_file_that_the_store_has_not_is_refused_at_the_door(engine: Engine) -> None:
    ghost = File(path="ghost", digest=digest_bytes(b"never put"), size=9)
    with pytest.raises(NotFoundError):
        engine.submit([script(environment=Environment(files=(ghost,)))])


def test_a_retry_is_a_new_inspection_of_the_same_request(engine: Engine, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (first,) = done(engine, script(f"test -e {mark}\n", request={"name": "flaky"}))
    mark.touch()
    again = engine.retry(first.id)
    for _ in engine.follow([again.id]):
        pass
    assert (first.outcome, engine.get(again.id).outcome) == ("failed", "succeeded")
    assert again.request == first.request
    assert engine.get("flaky").id == again.id


def test_events_tell_every_state_and_every_end_of_a_job_in_order(
    engine: Engine, index: LoopbackIndex
) -> None:
    (id_,) = submit(
        engine, script(environment=packages("lib", index=index.url, variables={"WHO": "events"}), repeat=2)
    )
    seen = [event for event in engine.follow([id_]) if event is not None]
    assert [event.data["state"] for event in seen if event.kind == "state"] == [
        "queued",
        "locking",
        "building",
        "running",
    ]
    assert told(seen, "run:1") == ["waiting", "started", "succeeded"]
    assert (seen[-1].kind, seen[-1].data["outcome"]) == ("done", "succeeded")
    assert seen == list(engine.events([id_]))
    assert engine.events([id_], after=seen[-2].position) == seen[-1:]


def test_higher_priority_goes_first(engine: Engine, tmp_path: Path) -> None:
    ledger, go = tmp_path / "ledger", tmp_path / "go"
    alone = Resources()
    (blocker,) = submit(engine, script(f"while ! test -e {go}; do sleep 0.01; done\n", resources=alone))
    until(lambda: is_running(engine, blocker))
    low = submit(engine, script(f"echo low >> {ledger}\n", resources=alone))
    high = submit(engine, script(f"echo high >> {ledger}\n", resources=alone, request={"priority": 5}))
    until(lambda: all(job(engine, id_, "run:0") for id_ in (*low, *high)))
    go.touch()
    for _ in engine.follow([blocker, *low, *high]):
        pass
    assert ledger.read_text().split() == ["high", "low"]


def test_two_runs_of_one_cpu_each_have_a_cpu_of_their_own(engine: Engine, tmp_path: Path) -> None:
    if engine.nodes()[0].hardware.cores < 2:
        pytest.skip("needs two CPUs")
    other = {"a": "b", "b": "a"}
    texts = [
        f"touch {tmp_path}/{me}; while ! test -e {tmp_path}/{you}; do sleep 0.01; done\n"
        for me, you in other.items()
    ]
    found = done(engine, *(script(text, timeout="10s") for text in texts))
    assert outcomes(found) == ["succeeded"] * 2
    records = [job(engine, item.id, "run:0") for item in found]
    granted = [tuple(item.result["cpus"]) for item in records if item and item.result]
    assert len(set(granted)) == 2


def test_files_lie_beside_the_script_and_arguments_reach_it(engine: Engine) -> None:
    data = b"beside"
    file = File(path="sub/data.txt", digest=digest_bytes(data), size=len(data))
    made = script(
        'cat sub/data.txt; echo " $1"\n', environment=Environment(files=(file,)), arguments=("it's $x",)
    )
    made = replace(made, contents={**made.contents, digest_bytes(data): data})
    (found,) = done(engine, made)
    assert stdout(engine, found.id) == "beside it's $x\n"
