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
from djed.pipeline.ground import Ground, base_assembly, ground_assembly, ground_of
from djed.plan.resources import limits

__all__ = [
    "assemble",
    "build_job",
    "lock_job",
    "making",
    "package_assembly",
    "package_jobs",
    "run_jobs",
    "wheel_jobs",
]

ENVIRONMENT_INSIDE = "/djed/env"
"""Where a job inside an image finds its environment, in whatever sandbox."""


def lock_job(
    inspection: Inspection,
    environment: Environment,
    *,
    ground: Ground,
    interpreter: Interpreter,
    context: Context,
) -> Job:
    """The job that resolves the environment."""
    request = inspection.request
    job = render_lock(
        environment,
        interpreter=interpreter,
        node=ground.node,
        limits=_build_limits(request, ground.node, context, "lock"),
        sandbox=request.sandbox,
        settings=context.index_settings,
    )
    return _within(job, ground.image)


def _build_limits(request: Request, node: Node, context: Context, kind: JobKind) -> Limits:
    wanted = request.build
    return limits(wanted.resources, timeout=wanted.timeout, config=context.config, kind=kind, node=node)


def assemble(inspection: Inspection, context: Context, *, package: str | None = None) -> Assembly:
    """What a builder needs for this inspection, or for one wheel of it. Raises ``RefusedError`` where its node or Python is gone."""
    chosen, request = inspection.plan, inspection.request
    assert chosen is not None
    assert inspection.lock is not None
    ground = ground_of(inspection, context)
    node = ground.node
    interpreter = next((item for item in node.interpreters if item.path == chosen.python), None)
    if interpreter is None:
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
        image=ground.image,
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
    job = _within(builder.render(assembly), assembly.image)
    return NewJob(role=role, job=job, key=builder.digest(assembly))


def _within(job: Job, image: Artifact | None) -> Job:
    """The job with an image's file system as its own, where the environment rests on one."""
    return job if image is None else replace(job, image=image.digest, inside=True)


def package_jobs(inspection: Inspection, context: Context) -> list[NewJob]:
    """The job that packages the environment, for each form that was asked for."""
    found = []
    for kind in inspection.request.build.package:
        builder, assembly = context.builders[kind], package_assembly(inspection, context)
        found.append(
            NewJob(role=f"package:{kind}", job=builder.render(assembly), key=builder.digest(assembly))
        )
    return found


def package_assembly(inspection: Inspection, context: Context) -> Assembly:
    """What a packager needs: the environment that was built, and what is run in it. Raises ``RefusedError`` where it is gone."""
    assert inspection.plan is not None
    if inspection.plan.python is None:
        ground = ground_of(inspection, context)
        assembly = replace(base_assembly(inspection, ground.node, context), image=ground.image)
    else:
        assembly = assemble(inspection, context)
    venv = context.find_artifact(inspection.artifact) if inspection.artifact else None
    return replace(assembly, venv=venv, run=inspection.request.run, content=context.content)


def making(role: str, inspection: Inspection, context: Context) -> tuple[Builder, Assembly]:
    """The builder whose job has this role for an inspection, and what it was told."""
    kind, _, name = role.partition(":")
    if kind == "wheel":
        return context.builders["wheel"], assemble(inspection, context, package=name)
    if kind == "package":
        return context.builders[name], package_assembly(inspection, context)
    if kind == "build":
        return context.builders["venv"], assemble(inspection, context)
    return context.builders[kind], ground_assembly(kind, inspection, context)


def run_jobs(inspection: Inspection, wanted: Run, context: Context) -> tuple[NewJob, ...]:
    """Every warm-up and repeat of the script."""
    chosen, request = inspection.plan, inspection.request
    assert chosen is not None
    node = next(node for node in context.nodes if node.id == chosen.run_node)
    job = Job(
        kind="run",
        command=_command(wanted, context),
        files=_inputs(request, wanted),
        variables={
            **_image_variables(inspection, context),
            **request.environment.variables,
            **wanted.variables,
        },
        limits=limits(wanted.resources, timeout=wanted.timeout, config=context.config, kind="run", node=node),
        network=wanted.network,
        environment=inspection.artifact,
        image=chosen.image,
        inside=chosen.image is not None,
        python=chosen.python,
        sandbox=request.sandbox,
        target=chosen.run_target,
        node=node.id,
        secrets=wanted.secrets,
        namespace=inspection.namespace,
    )
    roles = [f"warmup:{i}" for i in range(wanted.warmup)] + [f"run:{i}" for i in range(wanted.repeat)]
    return tuple(
        NewJob(role=role, job=job, serial=inspection.id, turn=turn) for turn, role in enumerate(roles)
    )


def _image_variables(inspection: Inspection, context: Context) -> dict[str, str]:
    """Those that an image's own configuration sets, with the environment's programs before its own."""
    image = ground_of(inspection, context).image
    if image is None or image.image is None:
        return {}
    variables = dict(image.image.variables)
    path = variables.get("PATH")
    if path and inspection.artifact:
        variables["PATH"] = f"{ENVIRONMENT_INSIDE}/bin:{path}"
    return variables


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
