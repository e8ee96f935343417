"""The end of an inspection: what was seen, in numbers and observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from djed.errors import DjedError, NotFoundError, RefusedError, StoreFullError, UnsafeError
from djed.model.inspection import Inspection, JobRecord, Outcome
from djed.model.observation import Failure, FailureClass, Stage, Statistics
from djed.observe.observations import observations
from djed.observe.timing import summarise
from djed.pipeline.context import Context, Move

__all__ = ["fail", "finish", "named"]


def finish(inspection: Inspection, context: Context, failure: Failure | None) -> Move:
    """The last move: statistics and observations of all that ran, and the failure if there is one."""
    jobs = context.results(inspection.id)
    statistics = _statistics(inspection, jobs, context)
    if failure is not None:
        move = fail(failure)
        done = replace(inspection, outcome=move.changes["outcome"], failure=failure, statistics=statistics)
        return replace(
            move, changes={**move.changes, "statistics": statistics}, observations=observations(done, jobs)
        )
    done = replace(inspection, outcome="succeeded", statistics=statistics)
    changes = {
        "state": "done",
        "outcome": "succeeded",
        "statistics": statistics,
        "metric": statistics[0].brief if statistics else None,
    }
    return Move(changes=changes, observations=observations(done, jobs))


def _statistics(
    inspection: Inspection, jobs: Sequence[JobRecord], context: Context
) -> tuple[Statistics, ...]:
    """Each metric over the counted runs that succeeded, ``duration`` first."""
    values: dict[str, list[float]] = {}
    for job in jobs:
        if job.role.startswith("run:") and job.failure is None and job.result is not None:
            for name, value in job.result.get("metrics", {}).items():
                values.setdefault(name, []).append(value)
    floor = (
        context.noise_floor(inspection.plan.run_node)
        if inspection.plan and inspection.plan.run_node
        else None
    )
    return tuple(
        summarise(
            name,
            series,
            unit="s" if name == "duration" else None,
            floor=floor if name == "duration" else None,
        )
        for name, series in values.items()
    )


def fail(failure: Failure) -> Move:
    """End the inspection with a failure; what of it still waits or runs is cancelled."""
    outcomes: dict[FailureClass, Outcome] = {"timeout": "timed_out", "out_of_memory": "out_of_memory"}
    outcome = outcomes.get(failure.kind, "failed")
    return Move(changes={"state": "done", "outcome": outcome, "failure": failure}, cancel=True)


def named(stage: Stage, error: DjedError, otherwise: FailureClass) -> Failure:
    """A failure of ours by the class that its error tells, ``otherwise`` where that tells none."""
    kinds: tuple[tuple[type[DjedError], FailureClass], ...] = (
        (NotFoundError, "artifact_damaged"),
        (UnsafeError, "artifact_damaged"),
        (StoreFullError, "disk_full"),
        (RefusedError, "refused"),
    )
    kind = next((kind for known, kind in kinds if isinstance(error, known)), otherwise)
    return Failure(stage=stage, kind=kind, message=error.message, hint=error.hint)
