"""Resources as a request writes them → plain limits of a job on a node."""

from __future__ import annotations

from djed.config import Config
from djed.model.hardware import Node
from djed.model.job import JobKind, Limits
from djed.model.quantity import parse_duration, parse_range, parse_size
from djed.model.request import Resources

__all__ = ["limits"]


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
