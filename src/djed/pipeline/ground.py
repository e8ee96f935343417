"""What an environment rests on: the host as it is, or an image that jobs make first.

::

    base: host      ─▶ node and its Pythons
    base: an image  ─▶ base job ─▶ image artifact ─▶ native job, where native packages are asked for ─▶ image artifact

Everything after it is the same for both: a node, seen from inside the image, and an interpreter of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from djed.build import Assembly, host_digest
from djed.build.base import INSECURE_REGISTRIES
from djed.errors import RefusedError
from djed.model.artifact import Artifact
from djed.model.base import parse_base
from djed.model.contents import NativePackage
from djed.model.hardware import Interpreter, Node
from djed.model.inspection import Inspection, JobRecord
from djed.model.job import Job, NewJob
from djed.model.lock import Lock
from djed.model.observation import Failure
from djed.pipeline.context import Context
from djed.plan.resources import limits

__all__ = [
    "HOST",
    "Ground",
    "Missing",
    "base_assembly",
    "build_node",
    "find_ground",
    "ground_assembly",
    "ground_of",
    "inside",
    "native_assembly",
]

Render = Callable[[], Job]

HOST = "host"
_NOTHING = Interpreter(path="", version="", prefix="")
"""The Python of an assembly that has none yet: base and native packages come before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """What an environment rests on."""

    node: Node
    """As an environment sees it: inside an image the system and the Pythons are the image's."""
    image: Artifact | None = None
    base: Artifact | None = None
    """The image below the native packages; without them the same."""

    def digest(self, interpreter: Interpreter | None) -> str:
        """Of the base, as locks and environments know it."""
        if self.image is not None and self.image.image is not None:
            return self.image.image.digest
        assert interpreter is not None
        return host_digest(self.node, interpreter)

    @property
    def uses(self) -> tuple[str, ...]:
        """Digests of its artifacts."""
        return tuple(dict.fromkeys(item.digest for item in (self.base, self.image) if item is not None))

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of the jobs that make it."""
        if self.image is None:
            return ()
        return ("base",) if self.base is self.image else ("base", "native")

    def native(self, names: Sequence[str]) -> tuple[NativePackage, ...]:
        """The installed packages of these names, with their exact versions."""
        if self.image is None or self.image.image is None or not names:
            return ()
        from djed.build.native import installed

        return installed(self.image.image, names)


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """What must be made first, or waited for."""

    job: NewJob | None = None
    failure: Failure | None = None
    uses: tuple[str, ...] = ()


def find_ground(
    inspection: Inspection, jobs: Sequence[JobRecord], node: Node, context: Context
) -> Ground | Missing:
    """The ground of an inspection that is not locked yet, or the job that brings it nearer."""
    if inspection.request.environment.base == HOST:
        return Ground(node=node)
    assembly = base_assembly(inspection, node, context)
    builder = context.builders["base"]
    question = builder.digest(assembly)
    base = _answered(question, assembly, jobs, context)
    if base is None:
        return _missing("base", jobs, lambda: builder.render(assembly), question)
    image = base
    if inspection.request.environment.native:
        above = native_assembly(assembly, base)
        builder = context.builders["native"]
        digest = builder.digest(above)
        found = context.find_artifact(digest)
        if found is None:
            missing = _missing("native", jobs, lambda: builder.render(above), digest)
            return replace(missing, uses=(base.digest,))
        image = found
    return Ground(node=inside(node, image), image=image, base=base)


def ground_of(inspection: Inspection, context: Context) -> Ground:
    """The ground that the plan of an inspection names. Raises ``RefusedError`` where its node or its image is gone."""
    chosen = inspection.plan
    assert chosen is not None
    node = build_node(inspection, context)
    if chosen.image is None:
        return Ground(node=node)
    image = context.find_artifact(chosen.image)
    if image is None:
        raise RefusedError(
            f"The image of {inspection.request.environment.base} is not there any more.",
            hint=f"djed retry {inspection.id}",
        )
    return Ground(node=inside(node, image), image=image)


def build_node(inspection: Inspection, context: Context) -> Node:
    """The node on which a planned inspection is built, by the target that was chosen. Raises ``RefusedError`` where it is gone."""
    chosen = inspection.plan
    assert chosen is not None
    node = next((node for node in context.nodes if node.id == chosen.build_node), None)
    if node is None:
        raise RefusedError(
            f"The node {chosen.build_node} is not there any more.", hint=f"djed retry {inspection.id}"
        )
    return replace(node, target=chosen.build_target)


def inside(node: Node, artifact: Artifact) -> Node:
    """The node as it is seen inside an image: the machine's hardware and kernel, the image's system and Pythons."""
    image = artifact.image
    assert image is not None
    hardware = replace(
        node.hardware, os=image.os, os_version=image.os_version, libc=image.libc, arch=image.arch
    )
    return replace(node, hardware=hardware, interpreters=image.interpreters)


def base_assembly(inspection: Inspection, node: Node, context: Context) -> Assembly:
    """What the builder of the base image needs to know."""
    request = inspection.request
    wanted = request.build
    return Assembly(
        environment=request.environment,
        lock=Lock(),
        interpreter=_NOTHING,
        node=node,
        base="",
        stamp=context.stamp(request.environment.base),
        limits=limits(
            wanted.resources, timeout=wanted.timeout, config=context.config, kind="build", node=node
        ),
        sandbox=request.sandbox,
        settings={
            **context.index_settings,
            INSECURE_REGISTRIES: ",".join(context.config.registries_insecure),
        },
        salt=inspection.id if request.reuse == "nothing" else None,
    )


def ground_assembly(role: str, inspection: Inspection, context: Context) -> Assembly:
    """What the builder of the base image, or of native packages on it, was told. Raises ``RefusedError`` where the base is gone."""
    assembly = base_assembly(inspection, build_node(inspection, context), context)
    if role == "base":
        return assembly
    answer = context.find_lock(context.builders["base"].digest(assembly), settled=True)
    base = context.find_artifact(answer.base) if answer and answer.base else None
    if base is None:
        raise RefusedError(
            f"The image of {assembly.environment.base} is not there any more.",
            hint=f"djed retry {inspection.id}",
        )
    return native_assembly(assembly, base)


def native_assembly(assembly: Assembly, base: Artifact) -> Assembly:
    """The same for the native packages on it."""
    assert base.image is not None
    return replace(assembly, image=base, base=base.image.digest)


def _answered(
    question: str, assembly: Assembly, jobs: Sequence[JobRecord], context: Context
) -> Artifact | None:
    """The image that a name led to: just now, or lately, or ever where the name can lead to no other."""
    made = any(job.role == "base" and job.state == "succeeded" for job in jobs)
    settled = made or bool(assembly.stamp) or parse_base(assembly.environment.base).fixed
    answer = context.find_lock(question, settled=settled)
    return context.find_artifact(answer.base) if answer and answer.base else None


def _missing(role: str, jobs: Sequence[JobRecord], render: Render, key: str) -> Missing:
    job = next((job for job in jobs if job.role == role and job.state in {"queued", "active"}), None)
    if job is not None:
        return Missing()
    failed = next((job for job in jobs if job.role == role and job.failure is not None), None)
    if failed is not None:
        return Missing(failure=failed.failure)
    return Missing(job=NewJob(role=role, job=render(), key=key))
