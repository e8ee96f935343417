"""The flow: from a request to its final state, as one table.

::

    queued ── plan ──▶ locking ── lock job ──▶ building ── wheel and build jobs ──▶ running ── run jobs ──▶ done
       └──▶ refused (nothing fits)                                                 any ──▶ cancelled

A step takes an inspection, its jobs and a :class:`Context`, and returns a :class:`Move`: what changes, which jobs are needed, whether to wait for
them. It opens no database, starts nothing, and may be repeated: whatever it asks for is asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from djed.build import Assembly, BuildError, Builder
from djed.build.base import host_digest
from djed.build.lock import given_lock, lock_key, needs_lock_job, render_lock, source_packages
from djed.config import Config
from djed.errors import DjedError, RefusedError
from djed.model.artifact import Artifact
from djed.model.hardware import Interpreter, Node
from djed.model.inspection import Inspection, JobRecord, Outcome, Plan
from djed.model.job import At, InputFile, Job, NewJob
from djed.model.lock import Lock
from djed.model.observation import Failure, FailureClass, Observation, Stage, Statistics
from djed.model.request import Environment, File, Request, Run
from djed.observe.observations import observations
from djed.observe.timing import summarise
from djed.plan.match import match
from djed.plan.interpreter import choose_interpreter
from djed.plan.resources import limits

__all__ = ["FLOW", "Context", "Move", "Step", "advance", "assemble"]


class Context(Protocol):
    """What a step may look up. Answers are facts of the moment; a step that is repeated asks again."""

    config: Config
    nodes: Sequence[Node]
    builders: Mapping[str, Builder]
    index_settings: Mapping[str, str]
    """What the environment tells uv about indexes; part of what decides a lock."""

    def find_lock(self, key: str) -> Lock | None:
        """A lock that may still answer that question."""
        ...

    def find_artifact(self, digest: str) -> Artifact | None:
        """A sealed artifact, there and untouched."""
        ...

    def has_shebang(self, digest: str) -> bool:
        """Whether a script names its interpreter itself."""
        ...

    def results(self, inspection: str) -> Sequence[JobRecord]:
        """The jobs of an inspection with the reports of their accepted attempts."""
        ...

    def noise_floor(self, node: str) -> float | None:
        """The A/A noise floor of a node, where it was measured."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """What a step decided."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the inspection that change."""
    jobs: tuple[NewJob, ...] = ()
    cached: tuple[tuple[str, str], ...] = ()
    """Role and detail of what needed no job."""
    observations: tuple[Observation, ...] = ()
    park: bool = False
    """Wait until one of its jobs is over."""
    cancel: bool = False
    """Cancel its unfinished jobs."""


Step = Callable[[Inspection, Sequence[JobRecord], Context], Move]

_WAIT = Move(park=True)


def advance(
    inspection: Inspection,
    jobs: Sequence[JobRecord],
    context: Context,
    flow: Mapping[str, Step] | None = None,
) -> Move:
    """One step. A handled error ends the inspection with it; anything else is a bug."""
    if inspection.cancel_requested:
        return _cancel(jobs)
    try:
        return (flow or FLOW)[inspection.state](inspection, jobs, context)
    except DjedError as error:
        stage: Stage = {"queued": "plan", "locking": "lock", "building": "build"}.get(inspection.state, "run")  # type: ignore[assignment]
        named = error.failure if isinstance(error, BuildError) else None
        return _fail(named or Failure(stage=stage, kind="internal", message=error.message, hint=error.hint))


def plan(inspection: Inspection, _jobs: Sequence[JobRecord], context: Context) -> Move:
    """Choose nodes and Python; refuse what fits nowhere; find a lock or ask for one."""
    request = inspection.request
    build_node, run_node, considered, reason = _place(inspection, context)
    if build_node is None or (request.run and run_node is None):
        refused = Failure(
            stage="plan", kind="refused", message=reason, hint="See what each node has with: djed hwinfo"
        )
        return Move(changes={"state": "refused", "failure": refused, "refusals": considered})
    try:
        interpreter = _choose(inspection, build_node)
    except RefusedError as error:
        return _fail(Failure(stage="plan", kind="no_python", message=error.message, hint=error.hint))
    base = host_digest(build_node, interpreter)
    environment = _asked(request.environment)
    key = lock_key(environment, interpreter=interpreter, base=base, settings=context.index_settings)
    chosen = Plan(
        build_node=build_node.id,
        run_node=run_node.id if run_node else None,
        python=interpreter.path,
        python_version=interpreter.version,
        base=base,
        lock_key=key,
        considered=considered,
    )
    changes: dict[str, Any] = {"plan": chosen, "node": (run_node or build_node).id}
    if not needs_lock_job(environment):
        lock = given_lock(environment, interpreter=interpreter, node=build_node, base=base)
        return Move(changes={**changes, "lock": lock, "state": "building"})
    if request.reuse != "nothing" and (known := context.find_lock(key)) is not None:
        return Move(
            changes={**changes, "lock": known, "state": "building"}, cached=(("lock", _packages(known)),)
        )
    job = render_lock(
        environment,
        interpreter=interpreter,
        node=build_node,
        limits=limits(
            request.build.resources,
            timeout=request.build.timeout,
            config=context.config,
            kind="lock",
            node=build_node,
        ),
        sandbox=request.sandbox,
        settings=context.index_settings,
    )
    new = NewJob(
        role="lock", job=replace(job, node=build_node.id), key=key if request.reuse != "nothing" else None
    )
    return Move(changes={**changes, "state": "locking"}, jobs=(new,), park=True)


def lock(inspection: Inspection, jobs: Sequence[JobRecord], context: Context) -> Move:
    """Take the lock that the job made."""
    job = _job(jobs, "lock")
    if job is None or job.state in {"queued", "active"}:
        return _WAIT
    if job.failure is not None:
        return _fail(job.failure)
    assert inspection.plan is not None
    found = context.find_lock(inspection.plan.lock_key or "")
    if found is None:  # it was cleared away between the end of the job and now
        return Move(changes={"state": "queued"})
    return Move(changes={"lock": found, "state": "building"})


def build(inspection: Inspection, jobs: Sequence[JobRecord], context: Context) -> Move:
    """Have wheels built from the sources that need it, then the environment."""
    if (failure := _failure(jobs, ("wheel:", "build"))) is not None:
        return _fail(failure)
    assembly = assemble(inspection, context)
    if missing := _missing_wheels(assembly, context):
        return Move(jobs=_only_new(jobs, missing), park=True)
    builder = context.builders["venv"]
    digest = builder.digest(assembly)
    if context.find_artifact(digest) is None:
        job = replace(builder.render(assembly), node=assembly.node.id)
        return Move(
            changes={"artifact": digest},
            jobs=_only_new(jobs, (NewJob(role="build", job=job, key=digest),)),
            park=True,
        )
    ready = {"artifact": digest, "state": "running"}
    cached = () if _job(jobs, "build") else (("build", ""),)
    return Move(changes=ready, cached=cached)


def run(inspection: Inspection, jobs: Sequence[JobRecord], context: Context) -> Move:
    """Have every repeat run; when all are over, say what was seen."""
    wanted = inspection.request.run
    if wanted is None:
        return _finish(inspection, context, None)
    runs = [job for job in jobs if job.role.startswith(("warmup:", "run:"))]
    if not runs:
        return Move(jobs=_runs(inspection, wanted, context), park=True)
    unfinished = any(job.state in {"queued", "active"} for job in runs)
    failure = _failure(runs, ("warmup:", "run:"))
    if unfinished:
        # What fails the first time fails again: the rest would only cost time. Later failures are evidence of flakiness.
        first_failed = runs[0].failure is not None
        return Move(park=True, cancel=first_failed)
    return _finish(inspection, context, failure)


FLOW: Mapping[str, Step] = {"queued": plan, "locking": lock, "building": build, "running": run}
"""State → step. The program on one page."""


def assemble(inspection: Inspection, context: Context, *, package: str | None = None) -> Assembly:
    """What a builder needs for this inspection, or for one wheel of it. Raises ``RefusedError`` where its node or Python is gone."""
    chosen, request = inspection.plan, inspection.request
    assert chosen is not None
    assert inspection.lock is not None
    node = next((node for node in context.nodes if node.id == chosen.build_node), None)
    interpreter = (
        next((item for item in node.interpreters if item.path == chosen.python), None) if node else None
    )
    if node is None or interpreter is None:
        raise RefusedError(
            f"The Python {chosen.python} on {chosen.build_node} is not there any more.",
            hint=f"djed retry {inspection.id}",
        )
    assembly = Assembly(
        environment=request.environment,
        lock=inspection.lock,
        interpreter=interpreter,
        node=node,
        base=chosen.base or "",
        package=package,
        limits=limits(
            request.build.resources,
            timeout=request.build.timeout,
            config=context.config,
            kind="build",
            node=node,
        ),
        sandbox=request.sandbox,
        settings=context.index_settings,
        salt=inspection.id if request.reuse == "nothing" else None,
    )
    return assembly if package else replace(assembly, wheels=_built_wheels(assembly, context))


def _place(
    inspection: Inspection, context: Context
) -> tuple[Node | None, Node | None, tuple[Mapping[str, Any], ...], str]:
    """The node to build on, the node to run on, what was considered, and why where nothing fits."""
    request = inspection.request
    matches = {
        "build": match(
            request.build.hardware, context.nodes, resources=request.build.resources, path="build.hardware"
        )
    }
    if request.run is not None:
        nodes = [node for target in request.run.targets for node in context.nodes if node.target == target]
        matches["run"] = match(
            request.run.hardware, nodes, resources=request.run.resources, path="run.hardware"
        )
    considered = tuple({"for": name, **row} for name, found in matches.items() for row in found.table)
    chosen = {name: found.fits[0] if found.fits else None for name, found in matches.items()}
    reason = next((found.reason for found in matches.values() if not found.fits), "")
    return chosen["build"], chosen.get("run"), considered, reason


def _asked(environment: Environment) -> Environment:
    """An environment that asks for no package has an empty lock: uv need not be asked."""
    if environment.packages or environment.lock is not None:
        return environment
    return replace(environment, lock=Lock())


def _choose(inspection: Inspection, node: Node) -> Interpreter:
    environment = inspection.request.environment
    given = environment.lock.requires_python if environment.lock else None
    return choose_interpreter(node.interpreters, environment.python, [given] if given else [])


def _built_wheels(assembly: Assembly, context: Context) -> dict[str, Artifact]:
    """The wheels that were built from source and are there, by package."""
    builder = context.builders["wheel"]
    found = {
        name: context.find_artifact(builder.digest(replace(assembly, package=name)))
        for name in source_packages(assembly.lock)
    }
    return {name: artifact for name, artifact in found.items() if artifact is not None}


def _missing_wheels(assembly: Assembly, context: Context) -> list[NewJob]:
    """A job for each wheel that has to be built from source first."""
    builder = context.builders["wheel"]
    wanted = [
        replace(assembly, package=name)
        for name in source_packages(assembly.lock)
        if name not in assembly.wheels
    ]
    return [
        NewJob(
            role=f"wheel:{one.package}",
            job=replace(builder.render(one), node=one.node.id),
            key=builder.digest(one),
        )
        for one in wanted
    ]


def _runs(inspection: Inspection, wanted: Run, context: Context) -> tuple[NewJob, ...]:
    chosen, request = inspection.plan, inspection.request
    assert chosen is not None
    node = next(node for node in context.nodes if node.id == chosen.run_node)
    job = Job(
        kind="run",
        command=_command(wanted, context),
        files=_inputs(request, wanted),
        variables={**request.environment.variables, **wanted.variables},
        limits=limits(wanted.resources, timeout=wanted.timeout, config=context.config, kind="run", node=node),
        network=wanted.network,
        environment=inspection.artifact,
        python=chosen.python,
        sandbox=request.sandbox,
        target=node.target,
        node=node.id,
    )
    roles = [f"warmup:{i}" for i in range(wanted.warmup)] + [f"run:{i}" for i in range(wanted.repeat)]
    return tuple(
        NewJob(role=role, job=job, serial=inspection.id, turn=turn) for turn, role in enumerate(roles)
    )


def _inputs(request: Request, wanted: Run) -> tuple[InputFile, ...]:
    """The files of the environment, then the script, which is executable whatever its own bits say."""
    files = list(request.environment.files)
    if isinstance(wanted.script, File):
        files.append(replace(wanted.script, executable=True))
    return tuple(InputFile(path=file.path, digest=file.digest, executable=file.executable) for file in files)


def _command(wanted: Run, context: Context) -> tuple[str | At, ...]:
    """The argument vector: the shebang counts; without one a ``.py`` file runs under the environment's Python, others under ``sh``."""
    if not isinstance(wanted.script, File):
        return wanted.command
    script = At(place="work", path=wanted.script.path)
    if context.has_shebang(wanted.script.digest or ""):
        return (script, *wanted.arguments)
    if wanted.script.path.endswith(".py"):
        return (At(place="env", path="bin/python"), script, *wanted.arguments)
    return ("/bin/sh", script, *wanted.arguments)


def _finish(inspection: Inspection, context: Context, failure: Failure | None) -> Move:
    jobs = context.results(inspection.id)
    statistics = _statistics(inspection, jobs, context)
    if failure is not None:
        move = _fail(failure)
        done = replace(inspection, outcome=move.changes["outcome"], failure=failure, statistics=statistics)
        return replace(
            move, changes={**move.changes, "statistics": statistics}, observations=observations(done, jobs)
        )
    done = replace(inspection, outcome="succeeded", statistics=statistics)
    changes = {
        "state": "done",
        "outcome": "succeeded",
        "statistics": statistics,
        "metric": _short(statistics),
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


def _short(statistics: Sequence[Statistics]) -> str | None:
    if not statistics:
        return None
    first = statistics[0]
    half = (first.high - first.low) / 2 / abs(first.median) if first.median else 0.0
    return f"{first.median:.3g}{first.unit or ''}" + (f" ±{half:.1%}" if len(first.values) > 1 else "")


def _fail(failure: Failure) -> Move:
    outcomes: dict[FailureClass, Outcome] = {"timeout": "timed_out", "out_of_memory": "out_of_memory"}
    outcome = outcomes.get(failure.kind, "failed")
    return Move(changes={"state": "done", "outcome": outcome, "failure": failure}, cancel=True)


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
