"""What every command gets: the settings, the console, and the way to the engine, here or at a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from djed.cli.console import Console
    from djed.client import Client
    from djed.config import Config
    from djed.service import Engine, Service

__all__ = ["Context", "open_client", "open_engine"]


def open_engine(config: Config) -> Engine:
    """The engine on the store of these settings; imported late, for most of the start-up time is its."""
    from djed.service import Engine

    return Engine.open(config)


def open_client(config: Config) -> Client:
    """The engine of the server that the settings name."""
    from djed.client import Client

    return Client.open(config)


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One invocation of the command line."""

    config: Config
    console: Console
    arguments: tuple[str, ...] = ()
    """What stood behind ``--``: the arguments of the script."""

    def engine(self) -> Service:
        """The server's engine where a server is set, else our own; to be used in a ``with`` statement."""
        return open_engine(self.config) if self.config.server is None else open_client(self.config)
