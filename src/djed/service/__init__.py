"""The engine: the facade that every door uses; and the contract that it shares with the client of a server."""

from djed.service.engine import Engine
from djed.service.interface import Service

__all__ = ["Engine", "Service"]
