"""What Amun's clients are told of an inspection: the final API's shape, with what its three older shapes had beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from djed.model.inspection import FINAL, Inspection, JobRecord
from djed.model.request import Build, Request, Run

__all__ = ["as_object", "build_log", "log", "result", "specification", "status", "submitted"]

_PHASES: Mapping[str, str] = {"queued": "Pending", "refused": "Error", "cancelled": "Failed"}
"""Argo's word for the state of a workflow; for ``done`` it depends on the outcome, and everything else is running."""
_ENDED: Mapping[str, str] = {
    "out_of_memory": "OOMKilled",
    "timeout": "DeadlineExceeded",
    "cancelled": "Cancelled",
    "refused": "Refused",
}
"""Kubernetes' word, where it has one, for why something was ended; anything else is an ``Error``."""
_BEFORE_RUNS = frozenset({"plan", "lock", "build"})

_LOG_KEYS = (
    "exit_code",
    "hwinfo",
    "os_release",
    "runtime_environment",
    "script_sha256",
    "stderr",
    "stdout",
    "usage",
)
"""What Amun's oldest API called the log of a run."""


def submitted(id_: str, specification_: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request. The oldest clients expect to hear when build and job came to be."""
    moment = specification_["@created"]
    return {
        "inspection_id": id_,
        "parameters": specification_,
        "build_created": moment,
        "job_created": moment if specification_.get("script") else None,
    }


def status(found: Inspection, jobs: Sequence[JobRecord]) -> dict[str, Any]:
    """How far it is. ``build`` and ``job`` stand at the top as well, where the oldest clients look for them."""
    build, job = _build(found, jobs), _job(found, jobs)
    inner = {
        "build": build,
        "job": job,
        "workflow": _workflow(found),
        # Amun stored specification and build log when the build was over.
        "data_stored": build["state"] == "terminated",
    }
    return {"status": inner, "build": build, "job": job}


def specification(found: Inspection) -> dict[str, Any]:
    """What was asked, as it came in; of an inspection that came by another door, what Amun has words for."""
    origin = found.origin or {}
    return dict(origin["specification"]) if origin.get("door") == "amun" else _translated(found)


def result(run: JobRecord | None) -> dict[str, Any] | None:
    """The result of a run (docs/reference/result.md); ``None`` where there is none yet."""
    if run is None or run.result is None:
        return None
    return {**run.result, "script_sha256": run.result.get("script_sha256") or ""}


def log(run: JobRecord | None) -> dict[str, Any] | None:
    """The result as Amun's oldest API called it the log of a run; ``None`` where there is none yet."""
    found = result(run)
    return None if found is None else {key: found.get(key) for key in _LOG_KEYS}


def as_object(stdout: Any) -> Mapping[str, Any]:
    """What a script wrote, as the generated clients expect it."""
    return stdout if isinstance(stdout, Mapping) else {"text": stdout}


def build_log(found: Inspection, parts: Sequence[tuple[str, bytes]]) -> str | None:
    """The logs of all jobs that made the environment, by their roles, then what is in it or why it failed.

    ``None`` while there is nothing to tell. What installs the packages is silent where all is well, so the stack is told here.
    """
    texts = [f"== {role} ==\n{data.decode('utf-8', 'replace')}" for role, data in parts]
    if found.failure is not None and found.failure.stage in _BEFORE_RUNS:
        texts.append(found.failure.message)
    elif _is_built(found):
        stack = sorted((found.lock.stack if found.lock else {}).items())
        texts.append("\n".join(["== stack ==", *(f"{name}=={version}" for name, version in stack)]))
    return "\n".join(text.rstrip("\n") for text in texts) + "\n" if texts else None


def _is_built(found: Inspection, jobs: Sequence[JobRecord] = ()) -> bool:
    """Whether the build is over and well."""
    if found.state == "running" or any(job.kind == "run" for job in jobs):
        return True
    return found.state == "done" and (found.failure is None or found.failure.stage not in _BEFORE_RUNS)


def _build(found: Inspection, jobs: Sequence[JobRecord]) -> dict[str, Any]:
    made = [job for job in jobs if job.kind != "run"]
    if _is_built(found, jobs):
        return _container("terminated", made, container=found.artifact)
    if found.state in FINAL:
        return _container("terminated", made, exit_code=_worst(made) or 1, reason=_reason(found))
    if found.state == "queued":
        return _container("scheduling", ())
    started = any(job.started_at is not None for job in made)
    return _container("running" if started else "waiting", made)


def _job(found: Inspection, jobs: Sequence[JobRecord]) -> dict[str, Any] | None:
    """All runs together, as a Job of Kubernetes told them; ``None`` where nothing was to be run.

    A client takes it to be finished when as many have succeeded as there will be: once all is over, that many there were.
    """
    if found.request.run is None:
        return None
    runs = [job for job in jobs if job.role.startswith("run:")]
    succeeded = sum(job.state == "succeeded" for job in runs)
    over = found.state in FINAL
    state = "terminated" if over else "running" if any(job.started_at for job in runs) else "waiting"
    failed = over and found.outcome != "succeeded"
    return {
        **_container(
            state if runs or over else "scheduling",
            runs,
            exit_code=(_worst(runs) or 1) if failed else 0,
            reason=_reason(found) if failed else "Completed",
        ),
        "completions": succeeded if over else found.request.run.repeat,
        "succeeded": succeeded,
        "pods": [_pod(job) for job in runs],
    }


def _pod(job: JobRecord) -> dict[str, Any]:
    states = {"queued": "waiting", "active": "running"}
    kind = job.failure.kind if job.failure else ""
    return {
        "name": job.role,
        **_container(
            states.get(job.state, "terminated"),
            [job],
            exit_code=_worst([job]) if job.state != "cancelled" else 137,
            reason="Completed" if job.state == "succeeded" else _ENDED.get(kind or job.state, "Error"),
        ),
    }


def _container(
    state: str,
    jobs: Sequence[JobRecord],
    *,
    exit_code: int = 0,
    reason: str | None = "Completed",
    container: str | None = None,
) -> dict[str, Any]:
    """The six keys by which Amun told the state of a build, and its oldest API that of a job."""
    over = state == "terminated"
    started = [job.started_at for job in jobs if job.started_at is not None]
    ended = [job.ended_at for job in jobs if job.ended_at is not None]
    return {
        "container": container,
        "exit_code": exit_code if over else None,
        "finished_at": _moment(max(ended, default=None)) if over else None,
        "reason": reason if over else None,
        "started_at": _moment(min(started, default=None)),
        "state": state,
    }


def _workflow(found: Inspection) -> dict[str, Any]:
    over = found.state in FINAL
    ended = "Succeeded" if found.outcome == "succeeded" else "Failed"
    phase = ended if found.state == "done" else _PHASES.get(found.state, "Running")
    return {
        "phase": phase,
        "startedAt": _moment(found.created_at),
        "finishedAt": _moment(found.updated_at) if over else None,
        "message": found.failure.message if found.failure else None,
        "nodes": {},
    }


def _reason(found: Inspection) -> str:
    kind = found.failure.kind if found.failure else found.state
    return _ENDED.get(kind, "Error")


def _worst(jobs: Sequence[JobRecord]) -> int:
    """The first exit code that tells of a failure; 0 where none does, 1 where it was not read."""
    codes = (int((job.result or {}).get("exit_code") or 1) for job in jobs if job.state == "failed")
    return next(codes, 0)


def _moment(seconds: float | None) -> str | None:
    """As Kubernetes writes times: whole seconds in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _translated(found: Inspection) -> dict[str, Any]:
    request: Request = found.request
    environment = request.environment
    told: dict[str, Any] = {
        "base": environment.base,
        "identifier": found.name,
        "batch_size": request.run.repeat if request.run else 0,
        "packages": list(environment.native),
        "python_packages": list(environment.packages),
        "environment": [{"name": name, "value": value} for name, value in environment.variables.items()],
        "build": {"requests": _requests(request.build)},
        # ISO 8601 in UTC with microseconds and no offset, as Amun wrote it.
        "@created": datetime.fromtimestamp(found.created_at, UTC)
        .replace(tzinfo=None)
        .isoformat(timespec="microseconds"),
    }
    return told | ({"run": {"requests": _requests(request.run)}} if request.run else {})


def _requests(stage: Build | Run) -> dict[str, str]:
    given = {"cpu": stage.resources.cpu, "memory": stage.resources.memory}
    return {key: str(value) for key, value in given.items() if value is not None}
