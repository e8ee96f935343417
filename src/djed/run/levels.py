"""The sandbox levels of this machine: which work, and what makes the wrap of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from djed.model.engine import ContainerEngine
from djed.model.request import SandboxLevel
from djed.run import bubblewrap, container, engines, gvisor
from djed.run.sandbox import Sandbox, Wrapper

__all__ = ["WRAPS", "Found", "probe"]

WRAPS: Mapping[SandboxLevel, Wrapper] = {
    "bwrap": bubblewrap.wrap,
    "container": container.wrap,
    "gvisor": gvisor.wrap,
}
"""Levels that are not here have nothing around their jobs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What works on this machine."""

    sandboxes: tuple[Sandbox, ...]
    """Weakest first."""
    engines: tuple[ContainerEngine, ...] = ()
    """Container engines, the preferred one first."""


def probe(data: Path, *, deep: bool = False) -> Found:
    """What works here; the answers are kept in ``data`` until the next boot.

    Whether engines and gVisor work takes seconds to find out: that is done where ``deep`` asks for it, and else what is known of them
    counts.
    """
    found = engines.probe(data) if deep else engines.remembered(data) or ()
    beyond = gvisor.probe(data) if deep else gvisor.remembered(data)
    containers = tuple(container.sandbox(engine) for engine in found if engine.runs)
    strongest = (beyond,) if beyond is not None else ()
    return Found(sandboxes=(*bubblewrap.probe(data), *containers, *strongest), engines=found)
