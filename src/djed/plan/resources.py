"""Resources as a request writes them → plain limits of a job on a node."""

from __future__ import annotations

from djed.config import Config
from djed.model.hardware import Node
from djed.model.job import JobKind, Limits
from djed.model.quantity import format_size, parse_duration, parse_range, parse_size
from djed.model.request import Resources
from djed.plan.fields import Line

__all__ = ["fits_resources", "limits"]


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


def limits(
    resources: Resources, *, timeout: str | float, config: Config, kind: JobKind, node: Node
) -> Limits:
    """The limits of a job of that kind on a node that fits.

    Without ``cpu`` a run has the node alone and any other job one CPU; ``disk`` and ``processes`` are settings.
    """
    return Limits(
        cpu=_cpu(resources, kind, node.hardware.cores),
        memory=None if resources.memory is None else parse_size(resources.memory),
        processes=config.limits_processes if resources.processes is None else resources.processes,
        timeout=parse_duration(timeout),
        output=config.limits_output,
        disk=config.limits_disk if resources.disk is None else parse_size(resources.disk),
        gpu=resources.gpu,
    )


def _cpu(resources: Resources, kind: JobKind, cores: int) -> float | None:
    """As many CPUs of a range as there are."""
    if resources.cpu is None:
        return None if kind == "run" else 1.0
    wanted = parse_range(resources.cpu)
    most = float(cores) if wanted.high is None else min(wanted.high, float(cores))
    return max(wanted.low, most)
