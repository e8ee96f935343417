"""What all calls share, and what belongs to one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import Scope

    from djed.api.hub import Hub
    from djed.config import Config
    from djed.errors import DjedError
    from djed.model.principal import Principal
    from djed.service.admin import Admin
    from djed.service.engine import Engine

__all__ = ["Call", "State", "call_of", "state_of"]


@dataclass(kw_only=True, slots=True)
class State:
    """What all calls share: ``app.state.djed``."""

    engine: Engine
    config: Config
    admin: Admin
    hub: Hub
    """What waits for changes on behalf of streams and long polls."""
    ending: list[Callable[[], None]] = field(default_factory=list)
    """Called in the event loop once, when the server begins to stop: streams end themselves."""
    stopping: bool = False
    """Whether the server is about to stop; ``/readyz`` says so."""

    def stop(self) -> None:
        """Tell everybody who listens that the server stops. Further calls do nothing."""
        if not self.stopping:
            self.stopping = True
            for end in self.ending:
                end()


@dataclass(kw_only=True, slots=True)
class Call:
    """One call: ``scope["djed"]``."""

    id: str
    """Ours, random; it is in the answer (``X-Request-Id``) and in the log."""
    principal: Principal | None = None
    """Who calls; ``None`` without a valid token."""
    trouble: DjedError | None = None
    """Why the token that came along is not good, or cannot be looked up."""


def state_of(connection: HTTPConnection) -> State:
    """What all calls share."""
    return cast("State", connection.app.state.djed)


def call_of(scope: Scope) -> Call:
    """What is known of the call of this scope."""
    return cast("Call", scope["djed"])
