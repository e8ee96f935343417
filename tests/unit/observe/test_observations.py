"""What an inspection taught."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from djed.model.codec import encode
from djed.model.inspection import Inspection, JobRecord, Plan
from djed.model.lock import Lock, LockedPackage
from djed.model.observation import Failure
from djed.model.request import Request, Run
from djed.observe.observations import observations
from djed.observe.timing import summarise

REPORT: dict[str, Any] = {
    "duration": 1.0,
    "script_sha256": "ab" * 32,
    "parameters": {"reps": 5},
    "hwinfo": {
        "cpu_info": {"brand_raw": "Some CPU", "vendor_id_raw": "V", "family": 6, "model": 85, "stepping": 4}
    },
}
JOBS = (
    JobRecord(id="1", kind="lock", role="lock", state="succeeded"),
    JobRecord(id="2", kind="build", role="build", state="succeeded", result={"duration": 9.0}),
    JobRecord(id="3", kind="run", role="warmup:0", state="succeeded", result={"duration": 7.0}),
    *(
        JobRecord(id=str(4 + number), kind="run", role=f"run:{number}", state="succeeded", result=REPORT)
        for number in range(6)
    ),
)
DONE = Inspection(
    id="i1",
    name="n",
    state="done",
    request=Request(run=Run(script="s.py", repeat=6)),
    created_at=0.0,
    updated_at=1.0,
    outcome="succeeded",
    plan=Plan(build_node="local/a", run_node="local/b", python_version="3.11.7", base="sha256:00"),
    lock=Lock(platform="linux-x86_64", packages=(LockedPackage(name="numpy", version="2.1.0"),)),
    artifact="sha256:11",
    statistics=(summarise("duration", [1.0] * 6, unit="s"), summarise("rate", [5.0] * 6)),
)


def test_a_success_teaches_that_it_locks_builds_and_runs_and_how_fast() -> None:
    assert [item.kind for item in observations(DONE, JOBS)] == [
        "locks",
        "builds",
        "runs",
        "metric",
        "metric",
        "noise_floor",
    ]


def test_every_fact_says_what_it_is_about() -> None:
    runs = next(item for item in observations(DONE, JOBS) if item.kind == "runs")
    assert runs.subject["stack"] == {"numpy": "2.1.0"}
    assert runs.subject["python"] == "3.11.7"
    assert runs.subject["script"] == "ab" * 32
    assert runs.subject["artifact"] == "sha256:11"
    assert runs.subject["node"] == "local/b"
    assert runs.subject["cpu"]["model"] == 85


def test_warm_ups_are_not_among_the_runs() -> None:
    runs = next(item for item in observations(DONE, JOBS) if item.kind == "runs")
    assert runs.value == {"repeats": 6, "durations": [1.0] * 6}


def test_a_metric_comes_with_its_parameters_and_statistics() -> None:
    rate = [item for item in observations(DONE, JOBS) if item.kind == "metric"][1]
    assert (rate.subject["metric"], rate.subject["parameters"]) == ("rate", {"reps": 5})
    assert rate.value["median"] == 5.0


def test_the_noise_of_a_node_is_about_the_node_alone() -> None:
    noise = observations(DONE, JOBS)[-1]
    assert noise.subject.keys() == {"node", "cpu"}
    assert noise.value == {"floor": 0.01, "metric": "duration", "repeats": 6}


def test_few_repeats_say_nothing_about_noise() -> None:
    few = replace(DONE, statistics=(summarise("duration", [1.0] * 5),))
    assert "noise_floor" not in [item.kind for item in observations(few, JOBS)]


def test_a_failure_is_a_fact_beside_what_had_worked() -> None:
    failure = Failure(
        stage="run", kind="import_error", message="No module named 'x'.", subject={"module": "x"}
    )
    failed = JobRecord(id="9", kind="run", role="run:0", state="failed", result=REPORT, failure=failure)
    found = observations(replace(DONE, outcome="failed", failure=failure, statistics=()), (*JOBS[:2], failed))
    assert [item.kind for item in found] == ["locks", "builds", "fails"]
    assert found[-1].subject["role"] == "run:0"
    assert found[-1].value == {
        "stage": "run",
        "class": "import_error",
        "message": "No module named 'x'.",
        "names": {"module": "x"},
    }


def test_a_cancelled_inspection_says_nothing_about_its_stack() -> None:
    cancelled = replace(
        DONE, failure=Failure(stage="run", kind="cancelled", message="It was cancelled."), statistics=()
    )
    assert "fails" not in [item.kind for item in observations(cancelled, JOBS)]


def test_an_answer_from_the_store_teaches_nothing_new() -> None:
    assert observations(replace(DONE, reused="i0"), JOBS) == ()


def test_an_inspection_that_never_got_a_plan_has_facts_that_json_can_carry() -> None:
    failure = Failure(stage="lock", kind="no_such_package", message="There is no package x on the index.")
    bare = Inspection(
        id="i", name="n", state="done", request=Request(), created_at=0.0, updated_at=0.0, failure=failure
    )
    found = observations(bare, ())
    assert [item.kind for item in found] == ["fails"]
    json.dumps([encode(item) for item in (*found, *observations(DONE, JOBS))], allow_nan=False)
