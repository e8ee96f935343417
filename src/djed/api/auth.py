"""Who calls, and whether the token allows it. Handlers ask for what they need by the type of a parameter."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from djed.api.state import Call, State, call_of, state_of
from djed.errors import AccessError, DjedError, TokenError
from djed.model.principal import Principal, Scope
from djed.service.admin import Admin
from djed.service.engine import Engine

__all__ = [
    "NEEDED",
    "Administering",
    "Caller",
    "Managing",
    "Reading",
    "Submitting",
    "allow",
    "identify",
    "look_up",
    "recognise",
]


def recognise(call: Call, state: State, header: str | None) -> str | None:
    """Take note of who calls, by the header ``Authorization``, as far as that is known without a look at the store.

    Returns the token that must be looked up, where one must. What is wrong with a token matters only to those who ask for a caller.
    """
    if state.config.serve_open:
        call.principal = Principal(name="open", namespace=state.config.namespace, scope="admin")
        return None
    if header is None:
        return None
    kind, _, text = header.partition(" ")
    if kind.lower() != "bearer":
        call.trouble = TokenError(f"A token is sent as Bearer, not as {kind[:20]!r}.")
        return None
    try:
        call.principal = state.admin.known(text.strip())
    except TokenError as error:
        call.trouble = error
        return None
    return text.strip() if call.principal is None else None


async def look_up(call: Call, state: State, text: str) -> None:
    """Take note of who calls, by the store."""
    try:
        call.principal = await run_in_threadpool(state.admin.check, text)
    except DjedError as error:
        call.trouble = error


async def identify(call: Call, state: State, header: str | None) -> None:
    """Take note of who calls."""
    text = recognise(call, state, header)
    if text is not None:
        await look_up(call, state, text)


NEEDED: dict[Callable[..., Any], Scope] = {}
"""Scope by dependency, for the document."""


def allow(request: Request, scope: Scope) -> Principal:
    """Who calls. Raises ``TokenError`` without a valid token, ``AccessError`` where its scope is less than ``scope``."""
    call = call_of(request.scope)
    if call.principal is None:
        raise call.trouble or TokenError(
            "This needs a token.", hint="Send the header Authorization: Bearer TOKEN; see djed token create."
        )
    if not call.principal.may(scope):
        raise AccessError(
            f"This needs the scope {scope!r}; the token {call.principal.name!r} has {call.principal.scope!r}."
        )
    return call.principal


def _engine(scope: Scope) -> Callable[..., Coroutine[Any, Any, Engine]]:
    # Coroutines run where they are; a plain function would take a thread for nothing.
    async def engine(request: Request) -> Engine:
        return state_of(request).engine.acting(allow(request, scope))

    NEEDED[engine] = scope
    return engine


async def _admin(request: Request) -> Admin:
    return state_of(request).admin.acting(allow(request, "admin"))


async def _caller(request: Request) -> Principal:
    return allow(request, "read")


NEEDED |= {_admin: "admin", _caller: "read"}

Reading = Annotated[Engine, Depends(_engine("read"))]
"""The engine, bound to a caller who may look."""
Submitting = Annotated[Engine, Depends(_engine("submit"))]
"""The engine, bound to a caller who may ask, cancel and retry."""
Managing = Annotated[Engine, Depends(_engine("manage"))]
"""The engine, bound to a caller who may delete and has secrets and webhooks in hand."""
Administering = Annotated[Admin, Depends(_admin)]
"""Tokens, namespaces and the audit log, for a caller who may do everything."""
Caller = Annotated[Principal, Depends(_caller)]
"""Who calls."""
