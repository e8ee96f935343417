"""What lists show: inspections and observations in short, and what a clean-up removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

__all__ = ["Collected", "Page", "Sort", "StoredArtifact", "StoredObservation", "Summary"]

T = TypeVar("T")

Sort = Literal["created", "-created", "name", "-name"]
"""Order of the list of inspections; ``-``: the greatest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: Sequence[T]
    next: str | None = None
    """Cursor of the next page; ``None``: this is the last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One line of the list of inspections."""

    id: str
    name: str
    state: str
    outcome: str | None
    created_at: float
    """Unix time."""
    seconds: float | None
    """From submission to the final state; ``None`` before it."""
    node: str | None
    """Where it ran or will run."""
    metric: str | None
    """Its first metric in short, for example ``1.23s ±2%``."""
    failure: str | None
    """Failure class."""
    repeats: int
    """Measured runs asked for."""
    updated_at: float = 0.0
    """Unix time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredArtifact:
    """An artifact in short."""

    digest: str
    kind: str
    size: int
    """Bytes."""
    created_at: float
    """Unix time."""
    used_at: float
    """Unix time."""
    packages: int = 0
    inspections: int = 0
    """How many inspections of the namespace use it."""
    inspection: str | None = None
    """Name of the newest of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObservation:
    """An observation with its place in the store."""

    seq: int
    inspection: str
    kind: str
    subject: Mapping[str, Any] = field(default_factory=dict)
    value: Mapping[str, Any] = field(default_factory=dict)
    created_at: float = 0.0
    """Unix time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What a clean-up removed, or would remove."""

    inspections: int = 0
    artifacts: int = 0
    blobs: int = 0
    attempts: int = 0
    locks: int = 0
    size: int = 0
    """Bytes."""
