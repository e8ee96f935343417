"""``HEAD``, ``OPTIONS`` and the header ``Allow``, for all routes alike."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.routing import compile_path

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Methods"]


class Methods:
    """Answers ``HEAD`` wherever ``GET`` is, and ``OPTIONS`` everywhere; adds ``Allow`` to 405."""

    def __init__(self, app: ASGIApp, routes: FastAPI) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http" or scope["method"] in {"GET", "POST"}:
            await self._app(scope, receive, self._allowing(scope, send))
            return
        allowed = self._allowed(scope["path"])
        if scope["method"] == "OPTIONS" and allowed:
            await Response(None, 204, {"Allow": ", ".join(allowed)})(scope, receive, send)
        elif scope["method"] == "HEAD" and "GET" in allowed and not self._is_own(scope["path"], "HEAD"):
            await self._app({**scope, "method": "GET"}, receive, _head_only(send))
        else:
            await self._app(scope, receive, self._allowing(scope, send))

    @cached_property
    def _table(self) -> list[tuple[re.Pattern[str], frozenset[str]]]:
        """Path and methods of every route; asked for once all are there."""
        return [
            (compile_path(route.path)[0], frozenset(route.methods or ()))
            for route in iter_route_contexts(self._routes.routes)
            if route.path
        ]

    def _is_own(self, path: str, method: str) -> bool:
        return any(method in methods and regex.match(path) for regex, methods in self._table)

    def _allowed(self, path: str) -> list[str]:
        found = {method for regex, methods in self._table if regex.match(path) for method in methods}
        more = {"OPTIONS"} | ({"HEAD"} if "GET" in found else set())
        return sorted(found | more) if found else []

    def _allowing(self, scope: Scope, send: Send) -> Send:
        """A route that is met knows only its own methods; others may have the same path."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                allowed = ", ".join(self._allowed(scope["path"])).encode()
                others = [item for item in message["headers"] if item[0].lower() != b"allow"]
                message = {**message, "headers": [*others, (b"allow", allowed)]}
            await send(message)

        return answer


def _head_only(send: Send) -> Send:
    """The head of an answer, and its end at once: a stream would go on."""
    over = False

    async def answer(message: Message) -> None:
        nonlocal over
        if message["type"] == "http.response.start":
            await send(message)
        elif not over:
            over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return answer
