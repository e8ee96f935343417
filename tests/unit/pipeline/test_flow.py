"""Each step of the flow, over a context from memory: what it asks for, what it concludes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from djed.build.base import build_error
from djed.errors import DjedError, NotFoundError, StoreFullError
from djed.model.inspection import Inspection, JobRecord
from djed.model.job import At, JobState
from djed.model.request import Environment, File, HardwareRequirement, Request, Resources, Run
from djed.pipeline import FLOW, Context, Move, advance
from tests.support.flow import LOCK, SCRIPT, SOURCE_LOCK, FakeContext, inspection, record


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


def kind(move: Move) -> str | None:
    failure = move.changes.get("failure")
    return failure and failure.kind


# Planning


def test_what_fits_nowhere_is_refused_with_the_table_and_the_decisive_line(context: FakeContext) -> None:
    move = advance(inspection(run=Run(script=SCRIPT, hardware=HardwareRequirement(cores="64+"))), [], context)
    assert (move.changes["state"], kind(move), move.jobs) == ("refused", "refused", ())
    assert "64+" in move.changes["failure"].message
    lines = [line for row in move.changes["refusals"] if row["for"] == "run" for line in row["lines"]]
    assert [line["ok"] for line in lines if line["path"] == "run.hardware.cores"] == [False]


def test_a_target_that_has_no_node_is_refused(context: FakeContext) -> None:
    move = advance(inspection(run=Run(script=SCRIPT, targets=("elsewhere",))), [], context)
    assert move.changes["state"] == "refused"


def test_a_python_that_is_not_there_is_named(context: FakeContext) -> None:
    move = advance(inspection(environment=Environment(python="3.99")), [], context)
    assert (move.changes["outcome"], kind(move), move.changes["failure"].stage) == (
        "failed",
        "no_python",
        "plan",
    )


def test_without_a_known_lock_one_job_makes_it(context: FakeContext) -> None:
    move = advance(inspection(), [], context)
    (job,) = move.jobs
    assert (move.changes["state"], move.park, job.role, job.job.kind) == ("locking", True, "lock", "lock")
    assert job.key == move.changes["plan"].lock_key
    assert job.job.python == move.changes["plan"].python


def test_a_known_lock_needs_no_job_and_is_told_as_cached(context: FakeContext) -> None:
    context.lock = LOCK
    move = advance(inspection(), [], context)
    assert (move.changes["state"], move.changes["lock"], move.jobs) == ("building", LOCK, ())
    assert move.cached == (("lock", "1 package"),)


@pytest.mark.parametrize(
    ("moment", "settled"),
    [(None, False), ("2020-01-01", True), ("2020-01-01T00:00:00Z", True), ("2999-01-01", False)],
)
def test_a_lock_is_settled_once_nothing_new_can_change_it(
    context: FakeContext, moment: str | None, settled: bool
) -> None:
    advance(inspection(environment=Environment(packages=("app",), exclude_newer=moment)), [], context)
    assert [asked for _, asked in context.asked] == [settled]


def test_where_nothing_may_be_reused_no_lock_is_looked_up_or_shared(context: FakeContext) -> None:
    context.lock = LOCK
    move = advance(inspection(reuse="nothing"), [], context)
    assert move.changes["state"] == "locking"
    assert (context.asked, move.jobs[0].key) == ([], None)


def test_without_packages_nobody_is_asked(context: FakeContext) -> None:
    move = advance(inspection(environment=Environment()), [], context)
    assert (move.changes["state"], move.changes["lock"].packages, move.jobs) == ("building", (), ())


def test_a_complete_lock_of_the_request_is_used_as_it_is(context: FakeContext) -> None:
    move = advance(inspection(environment=Environment(lock=LOCK)), [], context)
    assert move.changes["state"] == "building"
    assert move.changes["lock"].origin == "given"
    assert move.changes["lock"].stack == LOCK.stack


# Locking


@pytest.mark.parametrize("state", ["queued", "active"])
def test_a_lock_that_is_not_over_is_waited_for(context: FakeContext, state: JobState) -> None:
    assert advance(inspection("locking"), [record("lock", state)], context) == Move(park=True)


def test_the_lock_that_a_job_made_is_taken_however_old(context: FakeContext) -> None:
    context.lock = LOCK
    move = advance(inspection("locking", lock=None), [record("lock")], context)
    assert move.changes == {"lock": LOCK, "state": "building"}
    assert context.asked == [("key", True)]


def test_a_lock_that_was_cleared_away_is_asked_for_again(context: FakeContext) -> None:
    assert advance(inspection("locking"), [record("lock")], context).changes == {"state": "queued"}


def test_a_lock_job_that_failed_ends_the_inspection_with_its_failure(context: FakeContext) -> None:
    move = advance(inspection("locking"), [record("lock", "failed", "conflict")], context)
    assert (move.changes["state"], kind(move), move.cancel) == ("done", "conflict", True)


# Building


def test_sources_are_built_into_wheels_before_the_environment(context: FakeContext) -> None:
    move = advance(inspection("building", lock=SOURCE_LOCK), [], context)
    assert [(job.role, job.job.kind, job.job.cache) for job in move.jobs] == [
        ("wheel:raw", "wheel", "private")
    ]
    assert move.park


def test_a_wheel_under_way_is_not_asked_for_twice(context: FakeContext) -> None:
    move = advance(inspection("building", lock=SOURCE_LOCK), [record("wheel:raw", "active")], context)
    assert (move.jobs, move.park) == ((), True)


def test_wheels_that_are_there_are_installed_from_where_they_are(context: FakeContext) -> None:
    first = advance(inspection("building", lock=SOURCE_LOCK), [], context)
    digest = first.jobs[0].key or ""
    context.built = True
    wheel = context.find_artifact(digest)
    assert wheel is not None
    context.built = False
    context.artifacts[digest] = wheel
    (job,) = advance(inspection("building", lock=SOURCE_LOCK), [record("wheel:raw")], context).jobs
    assert (job.role, job.job.wheels) == ("build", (digest,))


def test_a_known_environment_is_told_as_cached(context: FakeContext) -> None:
    context.built = True
    move = advance(inspection("building"), [], context)
    assert (move.changes["state"], move.cached, move.jobs) == ("running", (("build", ""),), ())


def test_an_environment_that_our_job_built_is_not_told_as_cached(context: FakeContext) -> None:
    context.built = True
    assert advance(inspection("building"), [record("build")], context).cached == ()


def test_a_build_whose_artifact_is_gone_is_asked_for_again(context: FakeContext) -> None:
    move = advance(inspection("building"), [record("build")], context)
    assert [job.role for job in move.jobs] == ["build"]


def test_the_same_environment_has_one_key_and_where_nothing_is_reused_one_of_its_own(
    context: FakeContext,
) -> None:
    keys = [
        advance(item, [], context).jobs[0].key
        for item in (
            inspection("building"),
            replace(inspection("building"), id="other"),
            inspection("building", reuse="nothing"),
            replace(inspection("building", reuse="nothing"), id="other"),
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_failed_wheel_ends_the_inspection_and_cancels_the_others(context: FakeContext) -> None:
    jobs = [record("wheel:other", "active"), record("wheel:raw", "failed", "compiler_missing")]
    move = advance(inspection("building", lock=SOURCE_LOCK), jobs, context)
    assert (kind(move), move.cancel) == ("compiler_missing", True)


def test_a_python_that_went_away_ends_the_inspection_with_a_hint(context: FakeContext) -> None:
    context.nodes = [replace(context.nodes[0], interpreters=())]
    move = advance(inspection("building"), [], context)
    assert move.changes["failure"].stage == "build"
    assert move.changes["failure"].hint == "djed retry abc"


# Running


def run_jobs(context: FakeContext, **run: Any) -> Move:
    return advance(inspection("running", run=Run(**{"script": SCRIPT, **run})), [], context)


def test_warm_ups_come_first_and_every_repeat_has_its_turn(context: FakeContext) -> None:
    move = run_jobs(context, warmup=1, repeat=2)
    assert [(job.role, job.turn) for job in move.jobs] == [("warmup:0", 0), ("run:0", 1), ("run:1", 2)]
    assert {job.serial for job in move.jobs} == {"abc"}
    assert {job.key for job in move.jobs} == {None}


@pytest.mark.parametrize(
    ("path", "shebang", "command"),
    [
        ("a.py", False, (At(place="env", path="bin/python"), At(place="work", path="a.py"), "x")),
        ("a.py", True, (At(place="work", path="a.py"), "x")),
        ("a.sh", False, ("/bin/sh", At(place="work", path="a.sh"), "x")),
        ("a", True, (At(place="work", path="a"), "x")),
    ],
)
def test_the_shebang_counts_then_the_ending(
    context: FakeContext, path: str, shebang: bool, command: tuple[str | At, ...]
) -> None:
    context.shebang = shebang
    (job,) = run_jobs(context, script=replace(SCRIPT, path=path), arguments=("x",)).jobs
    assert job.job.command == command


def test_a_command_is_run_as_it_is(context: FakeContext) -> None:
    (job,) = run_jobs(context, script=None, command=("python", "-V")).jobs
    assert (job.job.command, job.job.files) == (("python", "-V"), ())


def test_a_run_gets_the_environment_its_variables_and_files(context: FakeContext) -> None:
    beside = File(path="data", digest="sha256:" + "6" * 64, size=1)
    environment = Environment(files=(beside,), variables={"A": "env", "B": "env"})
    wanted = Run(
        script=SCRIPT, variables={"B": "run"}, resources=Resources(cpu=2, memory="1Gi"), timeout="5s"
    )
    (job,) = advance(inspection("running", environment=environment, run=wanted), [], context).jobs
    assert job.job.environment == "sha256:env"
    assert job.job.variables == {"A": "env", "B": "run"}
    assert [(file.path, file.executable) for file in job.job.files] == [("data", False), ("script.py", True)]
    assert (job.job.limits.cpu, job.job.limits.memory, job.job.limits.timeout) == (2.0, 2**30, 5.0)


def test_without_a_run_the_environment_is_the_result(context: FakeContext) -> None:
    move = advance(inspection("running", request=Request(environment=Environment())), [], context)
    assert (move.changes["state"], move.changes["outcome"], move.jobs) == ("done", "succeeded", ())


def test_a_first_failure_cancels_the_rest(context: FakeContext) -> None:
    jobs = [record("run:0", "failed", "nonzero_exit"), record("run:1", "queued")]
    move = advance(inspection("running"), jobs, context)
    assert (move.park, move.cancel, move.changes) == (True, True, {})


def test_a_later_failure_lets_the_rest_run(context: FakeContext) -> None:
    jobs = [record("run:0"), record("run:1", "failed", "nonzero_exit"), record("run:2", "queued")]
    move = advance(inspection("running"), jobs, context)
    assert (move.park, move.cancel) == (True, False)


def test_the_failure_that_is_told_is_the_first_that_is_no_cancellation(context: FakeContext) -> None:
    jobs = [record("run:0", "cancelled", "cancelled"), record("run:1", "failed", "timeout")]
    move = advance(inspection("running"), jobs, context)
    assert (move.changes["outcome"], kind(move)) == ("timed_out", "timeout")


def test_statistics_are_of_counted_runs_that_succeeded_in_order_duration_first(context: FakeContext) -> None:
    context.records = [
        record("warmup:0", duration=9.0, rate=9.0),
        record("run:0", duration=1.0, rate=5.0),
        record("run:1", "failed", "nonzero_exit", duration=7.0),
        record("run:2", duration=3.0, rate=6.0),
    ]
    jobs = [record("run:0"), record("run:1", "failed", "nonzero_exit"), record("run:2")]
    move = advance(inspection("running", run=Run(script=SCRIPT, repeat=3)), jobs, context)
    found = [(item.metric, item.values, item.unit) for item in move.changes["statistics"]]
    assert found == [("duration", (1.0, 3.0), "s"), ("rate", (5.0, 6.0), None)]
    assert move.changes["outcome"] == "failed"


def test_the_end_says_in_short_what_was_measured(context: FakeContext) -> None:
    context.records = [record("run:0", duration=1.25)]
    move = advance(inspection("running"), [record("run:0")], context)
    assert move.changes["metric"] == "1.25s"
    assert {item.kind for item in move.observations} >= {"runs"}


# Cancelling and errors


@pytest.mark.parametrize("state", ["queued", "locking", "building", "running"])
def test_a_cancellation_waits_until_nothing_runs_any_more(context: FakeContext, state: str) -> None:
    asked = inspection(state, cancel_requested=True)
    assert advance(asked, [record("run:0", "active")], context) == Move(park=True, cancel=True)
    assert advance(asked, [record("run:0", "cancelled")], context).changes == {"state": "cancelled"}


def raising(error: Exception) -> Mapping[str, Any]:
    def step(_inspection: Inspection, _jobs: Sequence[JobRecord], _context: Context) -> Move:
        raise error

    return dict.fromkeys(FLOW, step)


@pytest.mark.parametrize(
    ("state", "stage"), [("queued", "plan"), ("locking", "lock"), ("building", "build"), ("running", "run")]
)
def test_a_handled_error_is_a_failure_of_its_stage(context: FakeContext, state: str, stage: str) -> None:
    move = advance(inspection(state), [], context, raising(DjedError("It went wrong.", hint="Do this.")))
    failure = move.changes["failure"]
    assert (failure.stage, failure.kind, failure.message, failure.hint) == (
        stage,
        "internal",
        "It went wrong.",
        "Do this.",
    )


def test_an_error_with_a_name_keeps_it(context: FakeContext) -> None:
    named = build_error("lock", "python_incompatible", "Not for this Python.")
    assert kind(advance(inspection(), [], context, raising(named))) == "python_incompatible"
    assert (
        kind(advance(inspection("running"), [], context, raising(NotFoundError("Gone."))))
        == "artifact_damaged"
    )


def test_trouble_of_the_store_is_not_blamed_on_the_request(context: FakeContext) -> None:
    with pytest.raises(StoreFullError):
        advance(inspection(), [], context, raising(StoreFullError("No space.")))


def test_a_bug_ends_its_inspection_and_is_logged(
    context: FakeContext, caplog: pytest.LogCaptureFixture
) -> None:
    move = advance(inspection("locking"), [], context, raising(ZeroDivisionError("by zero")))
    assert (move.changes["state"], kind(move)) == ("done", "internal")
    assert "ZeroDivisionError" in caplog.text
