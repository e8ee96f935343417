"""Amun's calls, under its own paths; see :mod:`djed.compat.amun`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request

from djed.api.auth import allow
from djed.api.body import Body
from djed.api.routes.service import ready
from djed.api.state import call_of, state_of
from djed.compat import amun
from djed.model.principal import Scope

__all__ = ["router"]


def _bound(scope: Scope) -> Callable[..., Coroutine[Any, Any, None]]:
    """The engine of who calls: without a token, in the namespace that the settings give to Amun's clients.

    No client of Amun is a page of somebody else's, which must not call through the browser of who can reach us.
    """

    async def bound(request: Request) -> None:
        call, state = call_of(request.scope), state_of(request)
        if call.principal is None and call.trouble is None and "origin" not in request.headers:
            call.principal = amun.guest(state.config)
        request.state.engine = state.engine.acting(allow(request, scope))

    return bound


async def _body(request: Request, body: Body) -> None:
    request.state.parameters = body


router = amun.router(reading=_bound("read"), submitting=_bound("submit"), body=_body, ready=ready)
