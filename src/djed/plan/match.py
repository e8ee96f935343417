"""Which nodes a job may use, and why not the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from djed.errors import RequestError
from djed.model.hardware import Node
from djed.model.quantity import format_size, parse_range, parse_size
from djed.model.request import SANDBOX_LEVELS, HardwareRequirement, Resources, SandboxLevel
from djed.plan.check import check_requirement, check_resources
from djed.plan.fields import Line, compare

__all__ = ["Match", "fits_resources", "match"]

_Options = Sequence[HardwareRequirement]
_INSIDE = re.compile(r"\.(any_of|ordered)\[\d")


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The nodes that fit and the account of all."""

    fits: tuple[Node, ...]
    """In the order given, which is that of preference."""
    table: tuple[Mapping[str, Any], ...]
    """Per node ``{"node", "fits", "lines": [{"path", "asked", "has", "ok"}]}``; JSON."""

    @property
    def reason(self) -> str:
        """Why nothing fits, as a sentence: the first failing line of each node."""
        if not self.table:
            return "There is no node to choose from."
        failing = [
            f"{row['node']} has {line['has']} where {line['path']} asks for {line['asked']}"
            for row in self.table
            if not row["fits"]
            for line in _decisive(row["lines"])[:1]
        ]
        return f"No node fits: {'; '.join(failing)}."


def match(
    requirement: HardwareRequirement,
    nodes: Sequence[Node],
    *,
    resources: Resources | None = None,
    sandbox: SandboxLevel | None = None,
    path: str = "run.hardware",
    image: bool = False,
    engine: bool = False,
) -> Match:
    """Match a requirement, the resources that a job wants and the weakest sandbox it accepts with nodes.

    ``path`` is where in the request the requirement stands; ``image``: the job's file system is that of an image; ``engine``: a
    container engine must build on one.

    Raises ``RequestError`` with all faults where the requirement cannot be read.
    """
    wanted, beside = resources or Resources(), path.removesuffix("hardware") + "resources"
    faults = check_requirement(requirement, path) + check_resources(wanted, beside)
    if faults:
        raise RequestError(f"{faults[0].path}: {faults[0].message}.", faults=faults, hint=faults[0].hint)
    account = _Account(nodes)
    able = frozenset(
        node.id
        for node in nodes
        if account.add(
            node,
            (
                *fits_resources(wanted, node, beside),
                *_fits_sandbox(sandbox, node, image=image),
                *(_fits_engine(node, sandbox) if engine else ()),
            ),
        )
    )
    met = able & account.meeting(requirement, able, path)
    return Match(
        fits=tuple(node for node in nodes if node.id in met),
        table=tuple(
            {
                "node": node.id,
                "fits": node.id in met,
                "lines": [*account.lines[node.id]],
            }
            for node in nodes
        ),
    )


def fits_resources(resources: Resources, node: Node, path: str = "run.resources") -> tuple[Line, ...]:
    """A line for each resource that a node must have. Of a range of CPUs the lower bound counts; what is not known is not enough."""
    hardware = node.hardware
    lines = []
    if resources.cpu is not None:
        enough = parse_range(resources.cpu).low <= hardware.cores
        lines.append(Line(path=f"{path}.cpu", asked=str(resources.cpu), has=str(hardware.cores), ok=enough))
    if resources.memory is not None:
        has = "unknown" if hardware.memory is None else format_size(hardware.memory)
        enough = hardware.memory is not None and parse_size(resources.memory) <= hardware.memory
        lines.append(Line(path=f"{path}.memory", asked=str(resources.memory), has=has, ok=enough))
    if resources.gpu:
        count = len(hardware.gpus)
        lines.append(
            Line(path=f"{path}.gpu", asked=str(resources.gpu), has=str(count), ok=resources.gpu <= count)
        )
    return tuple(lines)


def _fits_sandbox(floor: SandboxLevel | None, node: Node, *, image: bool) -> tuple[Line, ...]:
    """An image needs a sandbox that gives it a file system of its own; a container needs an image."""
    lowest = SANDBOX_LEVELS.index(floor or "none")
    if image:
        lowest = max(lowest, SANDBOX_LEVELS.index("bwrap"))
    if lowest == 0:
        return ()
    able = [level for level in node.sandboxes if image or level != "container"]
    enough = any(SANDBOX_LEVELS.index(level) >= lowest for level in able)
    return (Line(path="sandbox", asked=SANDBOX_LEVELS[lowest], has=", ".join(able) or "none", ok=enough),)


def _fits_engine(node: Node, floor: SandboxLevel | None) -> tuple[Line, ...]:
    strict = floor not in {None, "none", "process"}
    able = [
        f"{engine.name} {engine.version}"
        for engine in node.engines
        if engine.builds and (engine.confines or not strict)
    ]
    return (
        Line(
            path="environment.native",
            asked="an engine that builds",
            has=", ".join(able) or "none",
            ok=bool(able),
        ),
    )


class _Account:
    """Goes through a requirement for all nodes at once and keeps every line. Sets hold ids of nodes."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.lines: dict[str, list[Line]] = {node.id: [] for node in nodes}

    def add(self, node: Node, lines: Sequence[Line]) -> bool:
        """Keep the lines; whether all of them hold."""
        self.lines[node.id] += lines
        return all(line["ok"] for line in lines)

    def meeting(self, requirement: HardwareRequirement, alive: frozenset[str], path: str) -> frozenset[str]:
        """Nodes that meet a requirement. ``alive`` are those that meet all that surrounds it: only they decide on ``ordered``."""
        met = frozenset(node.id for node in self.nodes if self.add(node, compare(requirement, node, path)))
        if requirement.any_of:
            met &= self._any_of(requirement.any_of, alive & met, f"{path}.any_of")
        if requirement.ordered:
            met &= self._first_of(requirement.ordered, alive & met, f"{path}.ordered")
        return met

    def _any_of(self, options: _Options, alive: frozenset[str], path: str) -> frozenset[str]:
        meeting = self._each(options, alive, path)
        asked = f"any of {len(options)}"
        for node in self.nodes:
            has = _indexes(node, meeting)
            self.add(node, [Line(path=path, asked=asked, has=has or "none of them", ok=bool(has))])
        return frozenset().union(*meeting)

    def _first_of(self, options: _Options, alive: frozenset[str], path: str) -> frozenset[str]:
        meeting = self._each(options, alive, path)
        # Where no node is left anyway, the account still says which one would have decided.
        first = _first(met & alive for met in meeting)
        first = _first(meeting) if first is None else first
        chosen = frozenset() if first is None else meeting[first]
        asked = f"the first of {len(options)} that some node meets" + (
            "" if first is None else f": [{first}]"
        )
        for node in self.nodes:
            has = _indexes(node, meeting) or "none of them"
            self.add(node, [Line(path=path, asked=asked, has=has, ok=node.id in chosen)])
        return chosen

    def _each(self, options: _Options, alive: frozenset[str], path: str) -> list[frozenset[str]]:
        return [self.meeting(option, alive, f"{path}[{index}]") for index, option in enumerate(options)]


def _first(sets: Iterable[frozenset[str]]) -> int | None:
    return next((index for index, met in enumerate(sets) if met), None)


def _indexes(node: Node, meeting: Sequence[frozenset[str]]) -> str:
    return ", ".join(f"[{index}]" for index, met in enumerate(meeting) if node.id in met)


def _decisive(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Lines that failed and had to hold: what stands inside an alternative may fail."""
    return [line for line in lines if not line["ok"] and not _INSIDE.search(line["path"])]
