"""What would become of a request, and how long it would wait: answers that start nothing that lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from djed.model.job import Job
from djed.model.lock import Lock
from djed.model.observation import Failure

__all__ = ["Preview", "QueuePlace", "RecipeForm"]

RecipeForm = Literal["containerfile", "apptainer"]
"""What a recipe is for: any container engine, or Apptainer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuePlace:
    """Where an unfinished inspection stands."""

    state: str
    position: int = 0
    """Inspections that come before it, of those that wait for the same node; 0: it is next or at work."""
    running: int = 0
    """Active attempts on its node."""
    expected_start: float | None = None
    """Unix time, by what jobs took of late; ``None`` where nothing is known, or it is at work."""
    waits_for: str | None = None
    """What it waits for beside its turn, as a sentence: a quota that is full, a lease, a node that is away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A request with every choice made that can be made without running it."""

    fits: bool
    reason: str = ""
    """Why it does not fit, as a sentence."""
    build_node: str | None = None
    run_node: str | None = None
    python: str | None = None
    """Version of the interpreter."""
    considered: tuple[Mapping[str, Any], ...] = ()
    """Nodes that were considered, with why each fits or not."""
    lock: Lock | None = None
    """The stack; ``None`` where it is not resolved yet."""
    failure: Failure | None = None
    """Why it cannot be resolved."""
    jobs: tuple[Job, ...] = ()
    """The jobs, rendered as they would be submitted: build, then one run."""
    cached: tuple[str, ...] = ()
    """What is there already and needs no job: ``lock``, ``build``."""
    recipe: str | None = None
    """The environment as a recipe that can be built by hand."""
    queue: QueuePlace | None = None
    """Where it would stand if it were submitted now."""
