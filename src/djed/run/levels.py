"""The sandbox levels of this machine: which work, and what makes the wrap of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from djed.model.engine import Engine
from djed.model.request import SandboxLevel
from djed.run import bubblewrap
from djed.run.sandbox import Sandbox, Wrapper

__all__ = ["WRAPS", "Found", "probe"]

WRAPS: Mapping[SandboxLevel, Wrapper] = {"bwrap": bubblewrap.wrap}
"""Levels that are not here have nothing around their jobs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What works on this machine."""

    sandboxes: tuple[Sandbox, ...]
    """Weakest first."""
    engines: tuple[Engine, ...] = ()
    """Container engines, the preferred one first."""


def probe(data: Path) -> Found:
    """What works here; the answers are kept in ``data`` until the next boot."""
    return Found(sandboxes=bubblewrap.probe(data))
