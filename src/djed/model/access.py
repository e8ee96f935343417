"""Who may do what: tokens, and namespaces with quotas and retention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from djed.model.principal import Scope

__all__ = [
    "AuditEntry",
    "Namespace",
    "Quota",
    "Retention",
    "Token",
    "Usage",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A key to the API. Only a digest of its secret is stored."""

    id: str
    name: str
    namespace: str
    scope: Scope
    created_at: float
    """Unix time."""
    expires_at: float | None = None
    """Unix time; ``None``: it does not."""
    revoked_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """How much of the common hardware a namespace may hold. What is above it waits; nothing fails for it. ``None``: no bound."""

    queued: int | None = None
    """Inspections in work at once (locking, building, running); others stay ``queued``."""
    running: int | None = None
    """Active attempts at once."""
    cpu: float | None = None
    """CPUs that its active attempts hold at once."""
    storage: int | None = None
    """Bytes of its inspections' results and uploads; while it is full, new inspections stay ``queued``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What is kept. What is beyond any of these bounds goes, the oldest first, and never what is in use. ``None``: no bound."""

    age: float | None = None
    """Seconds since an inspection became final."""
    count: int | None = None
    """Final inspections."""
    size: int | None = None
    """Bytes of the results of final inspections."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Namespace:
    """A group of users who share inspections, secrets and a part of the hardware, and see nothing of other groups."""

    name: str
    weight: float = 1.0
    """Share of the hardware when there is not enough: twice the weight, twice the share."""
    priority: int = 100
    """Highest priority that its requests may ask for."""
    quota: Quota = Quota()
    retention: Retention = Retention()
    created_at: float = 0.0
    """Unix time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a namespace holds now."""

    queued: int = 0
    """Inspections that wait to be let in."""
    working: int = 0
    """Inspections in work."""
    running: int = 0
    """Active attempts."""
    cpu: float = 0.0
    """CPUs of the active attempts."""
    storage: int = 0
    """Bytes of results and uploads."""
    full: tuple[str, ...] = ()
    """Quotas that are used up, by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """One act of which a record is kept."""

    seq: int
    at: float
    """Unix time."""
    actor: str
    """Name of the principal."""
    token: str | None
    """Id of the token."""
    namespace: str
    action: str
    """``inspection.submit``, ``token.create`` …"""
    subject: str | None = None
    """What it was done to."""
    detail: Mapping[str, Any] = field(default_factory=dict)
