"""What every command gets: the settings, the console, and the way to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from djed.cli.console import Console
    from djed.config import Config
    from djed.service import Engine

__all__ = ["Context", "open_engine"]


def open_engine(config: Config) -> Engine:
    """The engine on the store of these settings; imported late, for most of the start-up time is its."""
    from djed.service import Engine

    return Engine.open(config)


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One invocation of the command line."""

    config: Config
    console: Console
    arguments: tuple[str, ...] = ()
    """What stood behind ``--``: the arguments of the script."""

    def engine(self) -> Engine:
        """The engine; to be used in a ``with`` statement."""
        return open_engine(self.config)
