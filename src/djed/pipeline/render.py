"""The jobs that an inspection needs, rendered from its request and the choices made."""

from __future__ import annotations

from dataclasses import replace

from djed.build import Assembly, Builder, render_lock, source_packages
from djed.errors import RefusedError
from djed.model.artifact import Artifact
from djed.model.hardware import Interpreter, Node
from djed.model.inspection import Inspection
from djed.model.job import At, InputFile, Job, JobKind, Limits, NewJob
from djed.model.request import Environment, File, Request, Run
from djed.pipeline.context import Context
from djed.plan.resources import limits

__all__ = ["assemble", "build_job", "lock_job", "run_jobs", "wheel_jobs"]


def lock_job(
    request: Request, environment: Environment, *, node: Node, interpreter: Interpreter, context: Context
) -> Job:
    """The job that resolves the environment."""
    return render_lock(
        environment,
        interpreter=interpreter,
        node=node,
        limits=_build_limits(request, node, context, "lock"),
        sandbox=request.sandbox,
        settings=context.index_settings,
    )


def _build_limits(request: Request, node: Node, context: Context, kind: JobKind) -> Limits:
    wanted = request.build
    return limits(wanted.resources, timeout=wanted.timeout, config=context.config, kind=kind, node=node)


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
        limits=_build_limits(request, node, context, "build"),
        sandbox=request.sandbox,
        settings=context.index_settings,
        salt=inspection.id if request.reuse == "nothing" else None,
    )
    return assembly if package else replace(assembly, wheels=_built_wheels(assembly, context))


def _built_wheels(assembly: Assembly, context: Context) -> dict[str, Artifact]:
    """The wheels that were built from source and are there, by package."""
    builder = context.builders["wheel"]
    found = {
        name: context.find_artifact(builder.digest(replace(assembly, package=name)))
        for name in source_packages(assembly.lock)
    }
    return {name: artifact for name, artifact in found.items() if artifact is not None}


def wheel_jobs(assembly: Assembly, context: Context) -> list[NewJob]:
    """A job for each wheel that has to be built from source and is not there."""
    builder = context.builders["wheel"]
    names = [name for name in source_packages(assembly.lock) if name not in assembly.wheels]
    return [_making(builder, replace(assembly, package=name), f"wheel:{name}") for name in names]


def build_job(assembly: Assembly, context: Context) -> NewJob:
    """The job that builds the environment."""
    return _making(context.builders["venv"], assembly, "build")


def _making(builder: Builder, assembly: Assembly, role: str) -> NewJob:
    return NewJob(role=role, job=builder.render(assembly), key=builder.digest(assembly))


def run_jobs(inspection: Inspection, wanted: Run, context: Context) -> tuple[NewJob, ...]:
    """Every warm-up and repeat of the script."""
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
        secrets=wanted.secrets,
        namespace=inspection.namespace,
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
