"""One request and all that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from djed.model.job import JobState
from djed.model.lock import Lock
from djed.model.observation import Failure, Statistics
from djed.model.principal import DEFAULT_NAMESPACE
from djed.model.request import Request

__all__ = ["FINAL", "AttemptRecord", "Event", "Inspection", "JobRecord", "Outcome", "Plan", "State"]

State = Literal["queued", "locking", "building", "running", "done", "refused", "cancelled"]
FINAL: frozenset[str] = frozenset({"done", "refused", "cancelled"})
Outcome = Literal["succeeded", "failed", "timed_out", "out_of_memory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The request with every choice made that can be made before locking."""

    build_node: str
    run_node: str | None = None
    place: str = ""
    """Machine of both nodes."""
    build_target: str = "local"
    run_target: str = "local"
    python: str | None = None
    """Path of the interpreter."""
    python_version: str | None = None
    base: str | None = None
    """Digest of the base."""
    image: str | None = None
    """Digest of the image artifact that the environment rests on, with the native packages; ``None``: the host."""
    lock_key: str | None = None
    """Digest of all that decides the lock."""
    considered: tuple[Mapping[str, Any], ...] = ()
    """Nodes that were considered, with why each fits or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """A job of an inspection, as the store has it."""

    id: str
    kind: str
    role: str
    """What it is for the inspection: ``lock``, ``wheel:<package>``, ``build``, ``warmup:0``, ``run:0`` …"""
    state: JobState
    attempts: int = 0
    attempt: str | None = None
    """Name of the accepted attempt or, while it is active, of the current one."""
    node: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    result: Mapping[str, Any] | None = None
    """The report of the accepted attempt (docs/reference/result.md)."""
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to an inspection."""

    seq: int
    inspection: str
    kind: str
    """``state``, ``job``, ``attempt``, ``cached``, ``failure``, ``done`` …"""
    data: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0
    """Unix time."""
    namespace: str = DEFAULT_NAMESPACE
    xact: int = 0
    """Transaction that wrote it, where the database numbers them (PostgreSQL): sequence numbers alone may become visible out of order."""

    @property
    def position(self) -> str:
        """Its place in the order in which events become visible; what comes later is read ``after`` it."""
        return f"{self.xact}.{self.seq}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRecord:
    """One start of a job, as the store has it."""

    name: str
    job: str
    number: int
    node: str
    state: str
    """``started``, ``accepted``, ``lost`` or ``refused``."""
    started_at: float
    """Unix time."""
    ended_at: float | None = None
    cpus: tuple[int, ...] = ()
    result: Mapping[str, Any] | None = None
    """Its report (docs/reference/result.md)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """One request and all that came of it."""

    id: str
    name: str
    state: State
    request: Request
    created_at: float
    updated_at: float
    outcome: Outcome | None = None
    failure: Failure | None = None
    plan: Plan | None = None
    lock: Lock | None = None
    artifact: str | None = None
    """Digest of the environment's artifact."""
    packaged: Mapping[str, str] = field(default_factory=dict)
    """Digest of the artifact of each packaging that was asked for: ``{"image": "sha256:…"}``."""
    statistics: tuple[Statistics, ...] = ()
    refusals: tuple[Mapping[str, Any], ...] = ()
    """Where refused: per node, per line of the requirement, what was asked and what is there."""
    reused: str | None = None
    """The inspection whose result answered this one (``reuse: result``)."""
    group: str | None = None
    """Inspections submitted together; their repeats interleave."""
    cancel_requested: bool = False
    token: int = 0
    """Fencing token of the current lease."""
    namespace: str = DEFAULT_NAMESPACE
    origin: Mapping[str, Any] | None = None
    """The request as it came in, where it came in another form (``{"door": "amun", "specification": …}``)."""
