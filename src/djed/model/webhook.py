"""Telling others what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Delivery", "Webhook"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """An address that is told of events. Its messages are signed after Standard Webhooks (https://www.standardwebhooks.com)."""

    id: str
    url: str
    events: tuple[str, ...] = ()
    """Kinds of events (``done``, ``state``, ``job`` …); empty: all."""
    active: bool = True
    created_at: float = 0.0
    """Unix time."""
    failures: int = 0
    """Attempts in a row that failed, for the event that is due."""
    due: float | None = None
    """When the next attempt is due; ``None``: as soon as there is something to tell."""
    last_error: str | None = None
    """Why the last attempt failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An event on its way to a webhook, or given up."""

    webhook: str
    position: str
    """Position of the event; also the id of the message, the same at every attempt."""
    inspection: str
    kind: str
    state: str
    """``delivered`` or ``given_up``."""
    attempts: int
    status: int | None = None
    """HTTP status of the last answer."""
    error: str | None = None
    at: float = 0.0
    """Unix time of the last attempt."""
    data: Mapping[str, Any] = field(default_factory=dict)
