"""What an inspection taught: facts with what they are about, for the next decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from djed.model.codec import encode
from djed.model.inspection import Inspection, JobRecord
from djed.model.observation import Observation, Statistics
from djed.observe.timing import noise_floor

__all__ = ["observations"]

_LEAST_REPEATS = 6
"""Repeats that tell something about the noise of a node: three against three."""


def observations(inspection: Inspection, jobs: Sequence[JobRecord]) -> tuple[Observation, ...]:
    """The facts of a finished inspection: what locks, builds, runs or fails, its metrics, and the noise of its node."""
    if inspection.reused is not None:
        return ()  # an answer from the store teaches nothing new
    return (*_jobs(inspection, jobs), *_failure(inspection, jobs), *_metrics(inspection, jobs))


def _jobs(inspection: Inspection, jobs: Sequence[JobRecord]) -> Iterator[Observation]:
    about = _subject(inspection, jobs)
    if inspection.lock is not None:
        value = {"packages": len(inspection.lock.packages), "origin": inspection.lock.origin}
        yield Observation(kind="locks", subject=about, value=value)
    built = next((job for job in jobs if job.role == "build" and job.state == "succeeded"), None)
    if inspection.artifact is not None or built is not None:
        yield Observation(kind="builds", subject=about, value=_times([built] if built else []))
    ran = [job for job in _measured(jobs) if job.state == "succeeded"]
    if ran:
        yield Observation(kind="runs", subject=about, value={"repeats": len(ran), **_times(ran)})


def _failure(inspection: Inspection, jobs: Sequence[JobRecord]) -> Iterator[Observation]:
    failure = inspection.failure
    # A user who cancels says nothing about the stack, and neither does a machine that died.
    if failure is None or failure.kind in {"cancelled", "lost", "refused", "internal"}:
        return
    failed = next((job for job in reversed(jobs) if job.failure is not None), None)
    value = {
        "stage": failure.stage,
        "class": failure.kind,
        "message": failure.message,
        "names": dict(failure.subject),
    }
    yield Observation(
        kind="fails",
        subject={**_subject(inspection, jobs), "role": failed.role if failed else None},
        value=value,
    )


def _metrics(inspection: Inspection, jobs: Sequence[JobRecord]) -> Iterator[Observation]:
    about = {**_subject(inspection, jobs), "parameters": _parameters(jobs)}
    for statistics in inspection.statistics:
        yield Observation(
            kind="metric", subject={**about, "metric": statistics.metric}, value=encode(statistics)
        )
    duration = next((item for item in inspection.statistics if item.metric == "duration"), None)
    if duration is not None and len(duration.values) >= _LEAST_REPEATS:
        yield _noise(about, duration)


def _noise(about: Mapping[str, Any], duration: Statistics) -> Observation:
    """In-situ A/A: odd against even repeats. What the script is does not matter to the node's noise."""
    subject = {name: about[name] for name in ("node", "cpu")}
    value = {
        "floor": noise_floor([duration.values]),
        "metric": duration.metric,
        "repeats": len(duration.values),
    }
    return Observation(kind="noise_floor", subject=subject, value=value)


def _subject(inspection: Inspection, jobs: Sequence[JobRecord]) -> dict[str, Any]:
    """What the facts of an inspection are about. The script is named by the digest of its content."""
    run, plan = inspection.request.run, inspection.plan
    report = next((job.result for job in reversed(_measured(jobs)) if job.result), None) or {}
    return {
        "inspection": inspection.id,
        "stack": inspection.lock.stack if inspection.lock else None,
        "python": plan.python_version if plan else None,
        "base": plan.base if plan else None,
        "platform": inspection.lock.platform if inspection.lock else None,
        "artifact": inspection.artifact,
        # By its content: the same script under another name is the same experiment.
        "script": report.get("script_sha256"),
        "command": list(run.command) if run and run.command else None,
        "arguments": list(run.arguments) if run else [],
        "node": plan.run_node or plan.build_node if plan else None,
        "cpu": _processor(report),
    }


def _processor(report: Mapping[str, Any]) -> dict[str, Any]:
    """Brand, family, model and stepping of the processor that the run saw."""
    hardware = report.get("hwinfo")
    processor = hardware.get("cpu_info") if isinstance(hardware, Mapping) else None
    if not isinstance(processor, Mapping):
        return {}
    names = {
        "brand": "brand_raw",
        "vendor": "vendor_id_raw",
        "family": "family",
        "model": "model",
        "stepping": "stepping",
    }
    return {name: processor.get(key) for name, key in names.items()}


def _parameters(jobs: Sequence[JobRecord]) -> dict[str, Any]:
    report = next((job.result for job in _measured(jobs) if job.result), None) or {}
    found = report.get("parameters")
    return dict(found) if isinstance(found, Mapping) else {}


def _measured(jobs: Sequence[JobRecord]) -> list[JobRecord]:
    return [job for job in jobs if job.role.startswith("run:")]


def _times(jobs: Sequence[JobRecord]) -> dict[str, Any]:
    durations = [job.result["duration"] for job in jobs if job.result and "duration" in job.result]
    return {"durations": durations} if durations else {}
