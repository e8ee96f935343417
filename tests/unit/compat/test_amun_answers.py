"""What Amun's clients are told of an inspection in each of its states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from djed.compat.amun import answers
from djed.model.inspection import Inspection, JobRecord
from djed.model.lock import Lock
from djed.model.observation import Failure, FailureClass, Stage
from djed.model.request import Build, Environment, Request, Resources, Run
from tests.support.assemblies import locked

RUN = Run(command=("true",), repeat=2)
SIX = {"container", "exit_code", "finished_at", "reason", "started_at", "state"}


def inspection(state: str = "queued", *, run: Run | None = RUN, **fields: Any) -> Inspection:
    return Inspection(
        id="0123456789ab", name="x", state=state, request=Request(run=run), created_at=1e9, updated_at=1e9 + 60, **fields  # type: ignore[arg-type]
    )  # fmt: skip


def job(
    role: str, state: str = "succeeded", *, code: int | None = None, kind: FailureClass | None = None
) -> JobRecord:
    started = 1e9 + 1 if state != "queued" else None
    result = (
        {"exit_code": code or 0, "stdout": {}, "stderr": ""} if state in {"succeeded", "failed"} else None
    )
    failure = Failure(stage="run", kind=kind, message="It failed.") if kind else None
    return JobRecord(
        id=role, kind=role.partition(":")[0], role=role, state=state, started_at=started,  # type: ignore[arg-type]
        ended_at=1e9 + 2 if result else None, result=result, failure=failure,
    )  # fmt: skip


def failed(stage: Stage, kind: FailureClass = "nonzero_exit") -> dict[str, Any]:
    return {"outcome": "failed", "failure": Failure(stage=stage, kind=kind, message="It failed.")}


BROKEN = {"exit_code": 2, "reason": "Error"}
KILLED = failed("build", "out_of_memory")
CASES: list[tuple[str, Inspection, list[JobRecord], dict[str, Any], str]] = [
    ("queued", inspection(), [], {"state": "scheduling", "exit_code": None}, "Pending"),
    ("locking", inspection("locking"), [job("lock", "queued")], {"state": "waiting"}, "Running"),
    ("building", inspection("building"), [job("lock"), job("build", "active")], {"state": "running", "reason": None}, "Running"),
    ("running", inspection("running", artifact="sha256:a"), [job("build")], {"exit_code": 0, "container": "sha256:a"}, "Running"),
    ("cached", inspection("running"), [], {"state": "terminated", "started_at": None}, "Running"),
    ("done", inspection("done", outcome="succeeded"), [job("build")], {"state": "terminated", "reason": "Completed"}, "Succeeded"),
    ("run failed", inspection("done", **failed("run")), [job("build")], {"state": "terminated", "exit_code": 0}, "Failed"),
    ("build failed", inspection("done", **failed("build")), [job("build", "failed", code=2)], BROKEN, "Failed"),
    ("build killed", inspection("done", **KILLED), [job("build", "failed", code=137)], {"reason": "OOMKilled"}, "Failed"),
    ("lock failed", inspection("done", **failed("lock", "conflict")), [job("lock", "failed", code=1)], {"exit_code": 1}, "Failed"),
    ("no python", inspection("done", **failed("plan", "no_python")), [], {"state": "terminated", "exit_code": 1}, "Failed"),
    ("refused", inspection("refused", **failed("plan", "refused")), [], {"state": "terminated", "reason": "Refused"}, "Error"),
    ("cancelled early", inspection("cancelled", artifact="sha256:a"), [job("build", "cancelled")], {"reason": "Cancelled"}, "Failed"),
    ("cancelled late", inspection("cancelled"), [job("build"), job("run:0", "cancelled")], {"reason": "Completed"}, "Failed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "jobs", "build", "phase"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_status_in_each_state(
    found: Inspection, jobs: list[JobRecord], build: dict[str, Any], phase: str
) -> None:
    told = answers.status(found, jobs)
    status = told["status"]
    assert status["build"].items() >= build.items()
    assert status["build"].keys() == SIX
    assert status["workflow"]["phase"] == phase
    assert (status["workflow"]["finishedAt"] is not None) == (found.state in {"done", "refused", "cancelled"})
    assert status["data_stored"] == (status["build"]["state"] == "terminated")
    assert (told["build"], told["job"]) == (status["build"], status["job"]), "where the oldest clients look"


def test_times_are_kubernetes_times() -> None:
    told = answers.status(inspection("running"), [job("build")])["build"]
    assert (told["started_at"], told["finished_at"]) == ("2001-09-09T01:46:41Z", "2001-09-09T01:46:42Z")


def test_the_job_is_finished_when_as_many_succeeded_as_there_will_be() -> None:
    runs = [job("warmup:0"), job("run:0"), job("run:1", "active")]
    found = answers.status(inspection("running"), runs)["job"]
    assert found.keys() == SIX | {"completions", "succeeded", "pods"}
    assert (found["completions"], found["succeeded"], found["state"]) == (2, 1, "running")
    assert [pod["name"] for pod in found["pods"]] == ["run:0", "run:1"]
    assert [pod["state"] for pod in found["pods"]] == ["terminated", "running"]
    over = answers.status(inspection("done", outcome="succeeded"), [job("run:0"), job("run:1")])["job"]
    assert (over["completions"], over["succeeded"], over["exit_code"], over["reason"]) == (
        2,
        2,
        0,
        "Completed",
    )


def test_a_client_that_waits_for_a_job_that_failed_comes_to_its_end() -> None:
    runs = [job("run:0", "failed", code=3, kind="nonzero_exit"), job("run:1", "cancelled", kind="cancelled")]
    found = answers.status(inspection("done", **failed("run")), runs)["job"]
    assert found["completions"] == found["succeeded"] == 0
    assert (found["state"], found["exit_code"], found["reason"]) == ("terminated", 3, "Error")
    assert [(pod["exit_code"], pod["reason"]) for pod in found["pods"]] == [(3, "Error"), (137, "Cancelled")]
    killed = job("run:0", "failed", code=137, kind="out_of_memory")
    pod = answers.status(inspection("running"), [killed])["job"]["pods"][0]
    assert (pod["exit_code"], pod["reason"]) == (137, "OOMKilled")


def test_without_a_script_there_is_no_job() -> None:
    assert answers.status(inspection("done", run=None, outcome="succeeded"), [])["status"]["job"] is None


def test_the_build_log_has_every_job_and_the_reason() -> None:
    log = answers.build_log(
        inspection("done", **failed("build")), [("lock", b"resolved\n"), ("build", b"\xff\n")]
    )
    assert log == "== lock ==\nresolved\n== build ==\n\ufffd\nIt failed.\n"
    assert answers.build_log(inspection(), []) is None
    assert answers.build_log(inspection("done", **failed("plan")), []) == "It failed.\n"
    lock = Lock(packages=(locked("six", "1.17.0"), locked("app", "1.0")))
    built = inspection("done", **failed("run"), lock=lock)
    assert (
        answers.build_log(built, [("build", b"ok")])
        == "== build ==\nok\n== stack ==\napp==1.0\nsix==1.17.0\n"
    )
    assert answers.build_log(inspection("running"), []) == "== stack ==\n", "it was there already"


def test_a_result_has_a_digest_of_the_script_even_where_there_is_none() -> None:
    """Amun's client refuses a result without."""
    bare = job("run:0")
    assert (answers.result(bare) or {})["script_sha256"] == ""
    assert answers.result(job("run:0", "active")) is answers.result(None) is None


@pytest.mark.parametrize(
    ("stdout", "shown"), [({"a": 1}, {"a": 1}), ("text\n", {"text": "text\n"}), ([1], {"text": [1]})]
)
def test_generated_clients_read_an_object_on_stdout(stdout: Any, shown: dict[str, Any]) -> None:
    assert answers.as_object(stdout) == shown


def test_the_log_of_a_run_is_what_the_oldest_clients_knew() -> None:
    assert answers.log(job("run:0", "active")) is None
    found = answers.log(replace(job("run:0"), result={"stdout": [1], "exit_code": 0, "duration": 1}))
    assert found is not None
    assert (found["stdout"], found["script_sha256"], "duration" in found) == ([1], "", False)


def test_a_failure_whose_report_was_not_read_is_one_all_the_same() -> None:
    unread = replace(job("run:0", "failed"), result=None)
    assert answers.status(inspection("running"), [unread])["job"]["pods"][0]["exit_code"] == 1


def test_a_submission_is_answered_for_the_oldest_clients_too() -> None:
    told = answers.submitted("inspection-1", {"@created": "now", "script": "x"})
    assert told == {
        "inspection_id": "inspection-1", "parameters": {"@created": "now", "script": "x"}, "build_created": "now", "job_created": "now",
    }  # fmt: skip
    assert answers.submitted("inspection-1", {"@created": "now"})["job_created"] is None


def test_what_came_by_amuns_door_is_told_as_it_came() -> None:
    came = {"base": "debian:12", "@created": "then", "odd": [1]}
    assert answers.specification(inspection(origin={"door": "amun", "specification": came})) == came


def test_what_came_by_another_door_is_told_as_far_as_amun_has_words() -> None:
    request = Request(
        name="x",
        environment=Environment(packages=("six",), variables={"A": "1"}),
        run=RUN,
        build=Build(resources=Resources(cpu=2)),
    )
    found = Inspection(id="a", name="x", state="queued", request=request, created_at=1e9, updated_at=1e9)
    assert answers.specification(found) == {
        "base": "host", "identifier": "x", "batch_size": 2, "packages": [], "python_packages": ["six"],
        "environment": [{"name": "A", "value": "1"}], "build": {"requests": {"cpu": "2"}}, "run": {"requests": {}},
        "@created": "2001-09-09T01:46:40.000000",
    }  # fmt: skip
