"""The flow: from a request to its final state, as one table.

::

    queued ── plan ──▶ locking ── base, native, lock jobs ──▶ building ── wheel, build, package jobs ──▶ running ── run jobs ──▶ done
       └──▶ refused (nothing fits)                                                                  any ──▶ cancelled

A step takes an inspection, its jobs and a :class:`Context`, and returns a :class:`Move`: what changes, which jobs are
needed, whether to wait for them. It opens no database, starts nothing, and may be repeated: what it asks for has a name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from djed.build import BuildError, given_lock, lock_key, needs_lock_job
from djed.errors import DjedError, RefusedError, StoreError
from djed.model.hardware import Interpreter
from djed.model.inspection import Inspection, JobRecord, Plan
from djed.model.job import NewJob
from djed.model.lock import Lock
from djed.model.observation import Failure, Stage
from djed.model.request import Environment
from djed.pipeline.context import Context, Move
from djed.pipeline.ground import Ground, Missing, build_node, find_ground, ground_of
from djed.pipeline.outcome import fail, finish, named
from djed.pipeline.placing import place, runs
from djed.pipeline.render import assemble, build_job, lock_job, package_jobs, run_jobs, wheel_jobs
from djed.plan.interpreter import choose_interpreter

__all__ = ["FLOW", "Step", "advance"]

Step = Callable[[Inspection, Sequence[JobRecord], Context], Move]

_logger = logging.getLogger(__name__)
_WAIT = Move(park=True)
_STAGES: Mapping[str, Stage] = {"queued": "plan", "locking": "lock", "building": "build", "running": "run"}


def advance(
    inspection: Inspection,
    jobs: Sequence[JobRecord],
    context: Context,
    flow: Mapping[str, Step] | None = None,
) -> Move:
    """One step. An error ends the inspection with it; a bug too, so that one inspection cannot stop all that stand behind it.

    Raises ``StoreError``, which says nothing of the request.
    """
    if inspection.cancel_requested:
        return _cancel(jobs)
    try:
        return (flow or FLOW)[inspection.state](inspection, jobs, context)
    except StoreError:
        raise
    except BuildError as error:
        return fail(error.failure)
    except DjedError as error:
        return fail(named(_STAGES[inspection.state], error, "internal"))
    except Exception as error:
        _logger.exception("inspection %s cannot take its step", inspection.id)
        message = f"Djed failed on this inspection: {error!r}."
        hint = "Please report this with the traceback in the log."
        return fail(Failure(stage=_STAGES[inspection.state], kind="internal", message=message, hint=hint))


def plan(inspection: Inspection, jobs: Sequence[JobRecord], context: Context) -> Move:
    """Choose nodes; refuse what fits nowhere; then find what the environment rests on, its Python and its lock, or ask for them."""
    placed = place(inspection, context)
    if placed.build is None:
        hint = "See what each node has with: djed hwinfo"
        refused = Failure(stage="plan", kind="refused", message=placed.reason, hint=hint)
        return Move(changes={"state": "refused", "failure": refused, "refusals": placed.considered})
    build_node, run = placed.build.node, placed.run or placed.build
    chosen = Plan(
        build_node=build_node.id,
        run_node=run.node.id if runs(inspection.request) else None,
        place=build_node.place,
        build_target=placed.build.target,
        run_target=run.target,
        considered=placed.considered,
    )
    changes = {"node": run.node.id, "place": build_node.place}
    return _settle(replace(inspection, plan=chosen), jobs, context, changes)


def lock(inspection: Inspection, jobs: Sequence[JobRecord], context: Context) -> Move:
    """Have the image made that the environment rests on; take the lock that the job made."""
    assert inspection.plan is not None
    if inspection.plan.lock_key is None:
        return _settle(inspection, jobs, context, {})
    job = _job(jobs, "lock")
    if job is None or job.state in {"queued", "active"}:
        return _WAIT
    if job.failure is not None:
        return fail(job.failure)
    found = context.find_lock(inspection.plan.lock_key, settled=True)
    if found is None:  # it was cleared away between the end of the job and now
        return Move(changes={"state": "queued"})
    return _locked(inspection, found, context, ground=ground_of(inspection, context), changes={})


def _settle(
    inspection: Inspection, jobs: Sequence[JobRecord], context: Context, changes: Mapping[str, Any]
) -> Move:
    """Find what the environment rests on and a Python of it, then its lock; or ask for what is missing first."""
    chosen = inspection.plan
    assert chosen is not None
    ground = find_ground(inspection, jobs, build_node(inspection, context), context)
    if isinstance(ground, Missing):
        if ground.failure is not None:
            return fail(ground.failure)
        new = (ground.job,) if ground.job else ()
        locking = {**changes, "plan": chosen, "state": "locking"}
        return Move(changes=locking, jobs=new, uses=ground.uses, park=True)
    try:
        interpreter = _choose(inspection, ground)
    except RefusedError as error:
        return fail(Failure(stage="plan", kind="no_python", message=error.message, hint=error.hint))
    chosen = replace(
        chosen,
        python=interpreter.path if interpreter else None,
        python_version=interpreter.version if interpreter else None,
        base=ground.digest(interpreter),
        image=ground.image.digest if ground.image else None,
        lock_key="",
    )
    settled = replace(inspection, plan=chosen)
    if interpreter is None:
        lock = Lock(base=chosen.base)
        move = _locked(settled, lock, context, ground=ground, changes={**changes, "plan": chosen})
    else:
        move = _resolve(settled, context, ground=ground, interpreter=interpreter, changes=changes)
    cached = tuple((role, "") for role in ground.roles if _job(jobs, role) is None)
    return replace(move, cached=(*cached, *move.cached))


def _resolve(
    inspection: Inspection,
    context: Context,
    *,
    ground: Ground,
    interpreter: Interpreter,
    changes: Mapping[str, Any],
) -> Move:
    """Take a lock that is known or was given, or ask for one."""
    request, environment, chosen = inspection.request, inspection.request.environment, inspection.plan
    assert chosen is not None
    if not environment.packages and environment.lock is None:
        environment = replace(environment, lock=Lock())  # nothing to resolve: uv need not be asked
    base = chosen.base or ""
    key = lock_key(environment, interpreter=interpreter, base=base, settings=context.index_settings)
    changes = {**changes, "plan": replace(chosen, lock_key=key)}
    if not needs_lock_job(environment):
        given = given_lock(environment, interpreter=interpreter, node=ground.node, base=base)
        return _locked(inspection, given, context, ground=ground, changes=changes)
    known = context.find_lock(key, settled=_settled(environment)) if request.reuse != "nothing" else None
    if known is not None:
        move = _locked(inspection, known, context, ground=ground, changes=changes)
        return replace(move, cached=(("lock", _packages(known)),))
    job = lock_job(inspection, environment, ground=ground, interpreter=interpreter, context=context)
    new = (NewJob(role="lock", job=job, key=key if request.reuse != "nothing" else None),)
    return Move(changes={**changes, "state": "locking"}, jobs=new, uses=ground.uses, park=True)


def _locked(
    inspection: Inspection, lock: Lock, context: Context, *, ground: Ground, changes: Mapping[str, Any]
) -> Move:
    """Go on with the lock, or end with it where no more was asked for."""
    lock = replace(lock, native=ground.native(inspection.request.environment.native))
    if inspection.request.until != "lock":
        return Move(changes={**changes, "lock": lock, "state": "building"}, uses=ground.uses)
    move = finish(replace(inspection, lock=lock), context, None)
    return replace(move, changes={**changes, "lock": lock, **move.changes}, uses=ground.uses)


def build(inspection: Inspection, jobs: Sequence[JobRecord], context: Context) -> Move:
    """Have wheels built from the sources that need it, then the environment, then what it is packaged as."""
    if (failure := _failure(jobs, ("wheel:", "build", "package:"))) is not None:
        return fail(failure)
    assert inspection.plan is not None
    if inspection.plan.python is None:  # an image alone: there is nothing of Python in it
        return _package(inspection, jobs, context, ())
    assembly = assemble(inspection, context)
    if missing := wheel_jobs(assembly, context):
        return Move(jobs=_only_new(jobs, missing), park=True)
    wanted = build_job(assembly, context)
    digest = wanted.key or ""
    if context.find_artifact(digest) is None:
        return Move(changes={"artifact": digest}, jobs=_only_new(jobs, [wanted]), park=True)
    cached = () if _job(jobs, "build") else (("build", ""),)
    return _package(replace(inspection, artifact=digest), jobs, context, cached)


def _package(
    inspection: Inspection, jobs: Sequence[JobRecord], context: Context, cached: tuple[tuple[str, str], ...]
) -> Move:
    """Have the environment packaged as was asked for; then it can run."""
    wanted = package_jobs(inspection, context)
    changes: dict[str, Any] = {"artifact": inspection.artifact}
    packaged = {item.role.partition(":")[2]: item.key or "" for item in wanted}
    missing = [item for item in wanted if context.find_artifact(item.key or "") is None]
    if missing:
        return Move(changes=changes, jobs=_only_new(jobs, missing), park=True)
    cached += tuple((item.role, "") for item in wanted if _job(jobs, item.role) is None)
    changes |= {"state": "running", "packaged": packaged}
    return Move(changes=changes, cached=cached, uses=tuple(packaged.values()))


def run(inspection: Inspection, jobs: Sequence[JobRecord], context: Context) -> Move:
    """Have every repeat run; when all are over, say what was seen."""
    wanted = inspection.request.run
    if wanted is None or not runs(inspection.request):
        return finish(inspection, context, None)
    asked = [job for job in jobs if job.role.startswith(("warmup:", "run:"))]
    if not asked:
        return Move(jobs=run_jobs(inspection, wanted, context), park=True)
    unfinished = any(job.state in {"queued", "active"} for job in asked)
    failure = _failure(asked, ("warmup:", "run:"))
    if unfinished:
        # What fails the first time fails again: the rest would only cost time. Later failures are evidence of flakiness.
        first_failed = asked[0].failure is not None
        return Move(park=True, cancel=first_failed)
    return finish(inspection, context, failure)


FLOW: Mapping[str, Step] = {"queued": plan, "locking": lock, "building": build, "running": run}
"""State → step. The program on one page."""


def _settled(environment: Environment) -> bool:
    """Whether nothing that is uploaded from now on can change the lock."""
    if environment.exclude_newer is None:
        return False
    moment = datetime.fromisoformat(environment.exclude_newer)
    return moment.replace(tzinfo=moment.tzinfo or UTC) < datetime.now(UTC) - timedelta(days=1)


def _choose(inspection: Inspection, ground: Ground) -> Interpreter | None:
    """The Python of the environment; none where an image has none and nothing asks for it."""
    environment = inspection.request.environment
    needed = environment.packages or environment.lock or environment.python
    if ground.image and not ground.node.interpreters and not needed:
        return None
    given = environment.lock.requires_python if environment.lock else None
    try:
        return choose_interpreter(ground.node.interpreters, environment.python, [given] if given else [])
    except RefusedError as error:
        if ground.image is None or ground.node.interpreters:
            raise
        raise RefusedError(
            f"The image {environment.base} has no Python.", hint="Add it: native: [python3]"
        ) from error


def _cancel(jobs: Sequence[JobRecord]) -> Move:
    """Final only when nothing of it runs any more."""
    if any(job.state in {"queued", "active"} for job in jobs):
        return Move(park=True, cancel=True)
    return Move(changes={"state": "cancelled"}, cancel=True)


def _job(jobs: Sequence[JobRecord], role: str) -> JobRecord | None:
    return next((job for job in jobs if job.role == role), None)


def _failure(jobs: Sequence[JobRecord], roles: tuple[str, ...]) -> Failure | None:
    """The first failure that is not merely a cancellation, else a cancellation."""
    failures = [job.failure for job in jobs if job.failure is not None and job.role.startswith(roles)]
    return next((item for item in failures if item.kind != "cancelled"), failures[0] if failures else None)


def _only_new(jobs: Sequence[JobRecord], wanted: Sequence[NewJob]) -> tuple[NewJob, ...]:
    """Those for which no job is under way. One that succeeded but whose artifact is gone is asked for again."""
    under_way = {job.role for job in jobs if job.state in {"queued", "active"}}
    return tuple(item for item in wanted if item.role not in under_way)


def _packages(found: Lock) -> str:
    return f"{len(found.packages)} packages" if len(found.packages) != 1 else "1 package"
