"""The engine: the facade that every door uses; and the contract that it shares with the client of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from djed.service.interface import Service

if TYPE_CHECKING:
    from djed.service.engine import Engine

__all__ = ["Engine", "Service"]


def __getattr__(name: str) -> Any:
    """The engine, imported when it is asked for: what looks at files alone starts in half the time without the store."""
    if name != "Engine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from djed.service.engine import Engine

    return Engine
