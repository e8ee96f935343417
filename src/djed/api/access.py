"""What surrounds all else: counts and times every call, and writes one line about it into the log."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from djed.worker.counters import Counters

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Access"]

_logger = logging.getLogger("djed.access")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE = "none"
_QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/readiness", "/liveness"})
"""Asked every few seconds by machines: told on the level ``debug``."""


class Access:
    """Pure ASGI, for speed. A call is timed until its answer begins: streams are as long as their readers stay."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self._app = app
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, answered, status = time.perf_counter(), 0.0, 0

        async def answer(message: Message) -> None:
            nonlocal answered, status
            if message["type"] == "http.response.start":
                answered, status = time.perf_counter(), message["status"]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._note(scope, status, (answered or time.perf_counter()) - begun, time.perf_counter() - begun)

    def _note(self, scope: Scope, status: int, first: float, whole: float) -> None:
        """``status`` is 0 where the caller left before an answer began."""
        # The template of the route, never the path: it may hold anything, and there are ever more of them.
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._counters.add("djed_api_requests_total", method=method, route=route, status=str(status))
        self._counters.observe("djed_api_request_seconds", first, method=method, route=route)
        level = logging.DEBUG if route in _QUIET else logging.INFO
        if not _logger.isEnabledFor(level):
            return
        call = scope.get("djed")
        extra: dict[str, object] = {"status": status, "ms": round(whole * 1000, 1)}
        if call is not None:
            principal = call.principal
            extra |= {"request": call.id, "token": principal.token or principal.name if principal else None}
        if (reference := scope.get("path_params", {}).get("reference")) is not None:
            extra["inspection"] = reference
        _logger.log(level, "%s %s", method, route, extra=extra)
