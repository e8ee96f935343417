"""Where an inspection is built and run: the nodes and targets that fit, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from djed.model.base import parse_base
from djed.model.engine import ENGINE_TARGETS
from djed.model.hardware import Node
from djed.model.inspection import Inspection
from djed.model.request import SANDBOX_LEVELS, Build, Request, Run, SandboxLevel
from djed.pipeline.context import Context
from djed.pipeline.ground import HOST
from djed.plan.match import match

__all__ = ["Placed", "place", "runs"]

_LOCAL = "local"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """A node, and the target by which jobs get there."""

    node: Node
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """Where an inspection goes."""

    build: Spot | None = None
    run: Spot | None = None
    considered: tuple[Mapping[str, Any], ...] = ()
    """What was considered, for the account of it."""
    reason: str = ""
    """Why nothing fits, as a sentence; empty where something does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    spots: tuple[Spot, ...]
    """In order of preference."""
    table: tuple[Mapping[str, Any], ...]
    reason: str


def runs(request: Request) -> bool:
    """Whether anything is run at all."""
    return request.run is not None and request.until == "run"


def place(inspection: Inspection, context: Context) -> Placed:
    """Choose where to build and where to run."""
    request = inspection.request
    if _needs_engine(request, context):
        context.equip()
    found = {"build": _spots(request, request.build, "build", context)}
    if request.run is not None and runs(request):
        found["run"] = _spots(request, request.run, "run", context)
    considered = tuple({"for": name, **row} for name, item in found.items() for row in item.table)
    reason = next((item.reason for item in found.values() if not item.spots), "")
    if reason:
        # A node that has come since is asked, too, before anything is refused.
        return (
            place(inspection, context)
            if context.look_again()
            else Placed(considered=considered, reason=reason)
        )
    build, run = _pair(found, context)
    if build is None:
        reason = "No one machine fits both the build and the run, and an environment is built where it runs."
    return Placed(build=build, run=run, considered=considered, reason=reason)


def _needs_engine(request: Request, context: Context) -> bool:
    """Whether container engines must be looked for: to install native packages, to fetch or to run an image, or because they were named."""
    environment = request.environment
    targets = {*request.build.targets, *(request.run.targets if request.run else ())}
    strong = {request.sandbox, context.config.sandbox_floor} & {"container", "gvisor"}
    if strong or not targets.isdisjoint(ENGINE_TARGETS):
        return True
    if environment.base == HOST:
        return False
    boxed = any("bwrap" in node.sandboxes for node in context.nodes)
    return bool(environment.native) or not boxed or not parse_base(environment.base).local


def _spots(request: Request, asked: Build | Run, stage: str, context: Context) -> _Found:
    """The nodes that fit, target by target."""
    spots: dict[str, Spot] = {}
    tables: list[Mapping[str, Any]] = []
    reasons = []
    image = request.environment.base != HOST
    for target in asked.targets or (_LOCAL, *ENGINE_TARGETS):
        nodes = [node for node in context.nodes if target in node.targets]
        if not nodes and not asked.targets and target != _LOCAL:
            continue
        if target in ENGINE_TARGETS and not image:
            reasons.append(f"The target {target} runs jobs in images, and environment.base is the host.")
            continue
        found = match(
            asked.hardware,
            nodes,
            resources=asked.resources,
            sandbox=_floor(request.sandbox, target, context),
            path=f"{stage}.hardware",
            image=image,
            engine=stage == "build" and bool(request.environment.native),
        )
        for node in found.fits:
            spots.setdefault(node.id, Spot(node=node, target=target))
        tables += found.table
        reasons.append(found.reason if nodes else f"There is no target {target} here.")
    return _Found(spots=tuple(spots.values()), table=tuple(tables), reason=reasons[0])


def _pair(found: Mapping[str, _Found], context: Context) -> tuple[Spot | None, Spot | None]:
    """Nodes of one machine, for an environment is bound to the Python that it was built with; of equals that with the least to do."""
    builders = sorted(found["build"].spots, key=lambda spot: context.load(spot.node.id))
    if "run" not in found:
        return builders[0], None
    for spot in sorted(found["run"].spots, key=lambda spot: context.load(spot.node.id)):
        near = [other for other in builders if other.node.place == spot.node.place]
        if near:
            same = [other for other in near if other.node.id == spot.node.id]
            return (same or near)[0], spot
    return None, None


def _floor(asked: SandboxLevel | None, target: str, context: Context) -> SandboxLevel | None:
    """The weakest sandbox that the request, the settings and the target accept; ``None``: any."""
    by_target: SandboxLevel | None = "container" if target in ENGINE_TARGETS else None
    floors = [
        level for level in (asked, context.config.sandbox_floor, by_target) if level not in {None, "none"}
    ]
    return max(floors, key=SANDBOX_LEVELS.index, default=None)
