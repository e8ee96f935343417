"""What would become of a request: every choice made that can be made without running it.

A stack that is not known yet is resolved by a real inspection of the request that ends with its lock, and is forgotten after it.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from djed.build.base import uv_settings
from djed.errors import ConflictError
from djed.model.inspection import FINAL, Inspection
from djed.model.preview import Preview, QueuePlace
from djed.pipeline import Context, advance
from djed.pipeline.render import assemble, build_job, run_jobs, wheel_jobs
from djed.service.checks import check_base, check_hardware, check_shown
from djed.service.recipes import of_inspection
from djed.store import fairness, queue
from djed.worker.context import StoreContext

if TYPE_CHECKING:
    from djed.intake.submission import Submission
    from djed.model.job import Job
    from djed.service.engine import Engine

__all__ = ["preview"]

_GRACE = 2.0
"""Seconds for a cancelled one to end, so that it can be forgotten."""


def preview(engine: Engine, submission: Submission, *, wait: float) -> Preview:
    """Plan the request as the worker would, wait up to ``wait`` seconds for its stack, and render its jobs."""
    check_hardware(submission.request)
    check_base(engine, submission)
    check_shown(engine, submission)
    for content in submission.contents.values():
        engine.store.blobs.put(content)
    context = _context(engine)
    now = time.time()
    trial = Inspection(
        id="preview",
        name=submission.request.name,
        state="queued",
        request=submission.request,
        created_at=now,
        updated_at=now,
        namespace=engine.namespace,
    )
    move = advance(trial, (), context)
    if move.changes.get("state") == "refused" or move.changes.get("failure"):
        failure = move.changes["failure"]
        return Preview(
            fits=False, reason=failure.message, failure=failure, considered=move.changes.get("refusals", ())
        )
    cached = tuple(role for role, _ in move.cached)
    planned = replace(trial, plan=move.changes["plan"], lock=move.changes.get("lock"))
    if planned.lock is None:
        planned = _resolve(engine, submission, wait, planned)
    plan, lock, failure = planned.plan, planned.lock, planned.failure
    assert plan is not None
    jobs, built = (
        _jobs(planned, context) if lock is not None else (tuple(item.job for item in move.jobs), False)
    )
    return Preview(
        fits=failure is None,
        reason=failure.message if failure else "",
        failure=failure,
        build_node=plan.build_node,
        run_node=plan.run_node,
        python=plan.python_version,
        considered=plan.considered,
        lock=lock,
        jobs=jobs,
        cached=(*cached, "build") if built else cached,
        recipe=of_inspection(engine, planned),
        queue=_queue(engine, trial.request.priority, fairness.cost([trial.request])),
    )


def _context(engine: Engine) -> StoreContext:
    """As a worker has it, with the nodes of all."""
    works, settings = engine.works, uv_settings(os.environ)
    context = StoreContext(engine.store, engine.config, works.own_nodes(), settings, equipped=works.equipped)
    context.nodes = engine.nodes()
    return context


def _resolve(engine: Engine, submission: Submission, wait: float, planned: Inspection) -> Inspection:
    """With the stack, by an inspection that goes no further; without where it takes longer than the caller waits."""
    request = replace(submission.request, until="lock", name="preview")
    (item,) = engine.submit([replace(submission, request=request)])
    if not _final(engine, item.id, wait):
        with suppress(ConflictError):  # it ended just now
            engine.cancel(item.id)
        _final(engine, item.id, _GRACE)
    item = engine.get(item.id)
    if item.state in FINAL:
        engine.remove([item.id])
    # What it rests on is known since then, too.
    return replace(planned, plan=item.plan or planned.plan, lock=item.lock, failure=item.failure)


def _final(engine: Engine, id_: str, seconds: float) -> bool:
    """Wait so long for its end; whether it came."""
    end = time.monotonic() + seconds
    for _ in engine.follow([id_]):
        if time.monotonic() >= end:
            return engine.get(id_).state in FINAL
    return True


def _jobs(trial: Inspection, context: Context) -> tuple[tuple[Job, ...], bool]:
    """The jobs that are still needed, one run of those wanted, and whether the environment is there already."""
    assembly = assemble(trial, context)
    build = build_job(assembly, context)
    built = context.find_artifact(build.key or "") is not None
    needed = [] if built else [*wheel_jobs(assembly, context), build]
    if trial.request.run is not None and trial.request.until == "run":
        run = replace(trial, artifact=build.key)
        needed.append(run_jobs(run, trial.request.run, context)[0])
    return tuple(item.job for item in needed), built


def _queue(engine: Engine, priority: int, cost: int) -> QueuePlace:
    """Where it would stand."""
    cpus = sum(node.hardware.cores for node in engine.nodes())
    with engine.store.database.read() as connection:
        rank = fairness.rank(connection, engine.namespace, cost)
        position = queue.ahead(connection, priority, rank, 2**62)
        start = queue.expected(connection, position, cpus=cpus, now=time.time())
    return QueuePlace(state="queued", position=position, expected_start=start)
