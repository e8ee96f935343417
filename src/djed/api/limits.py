"""What surrounds every call: an id, who calls, its rate, safe headers, and an answer whatever happens. Pure ASGI, for speed."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import time
from typing import TYPE_CHECKING

from djed.api.auth import look_up, recognise
from djed.api.problems import problem, stopping_problem, unforeseen_problem
from djed.api.state import Call, State
from djed.errors import AccessError, DjedError, RateError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Limits", "Rates"]

_SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
"""On every answer that does not say otherwise."""
_UNKEPT = (b"cache-control", b"no-store")
_MOST_CALLERS = 10_000

_logger = logging.getLogger(__name__)


class Rates:
    """A bucket of tokens for each caller (https://en.wikipedia.org/wiki/Token_bucket): ``rate`` calls a second, twice that at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._depth = 2 * rate
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, caller: str, now: float) -> None:
        """Count a call. Raises ``RateError`` where there were too many."""
        left, since = self._buckets.get(caller, (self._depth, now))
        left = min(self._depth, left + (now - since) * self._rate)
        if left < 1:
            raise RateError("There were too many calls.", after=(1 - left) / self._rate)
        if len(self._buckets) >= _MOST_CALLERS and caller not in self._buckets:
            self._forget(now)
        self._buckets[caller] = (left - 1, now)

    def _forget(self, now: float) -> None:
        """Drop those whose buckets are full again, or all where there are none."""
        full = self._depth / self._rate
        kept = {caller: item for caller, item in self._buckets.items() if now - item[1] < full}
        self._buckets = kept if len(kept) < _MOST_CALLERS else {}


class Limits:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state
        self._rates = Rates(state.config.serve_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = scope["djed"] = Call(id=secrets.token_hex(8))
        answer = _Answer(send, call.id)
        try:
            await self._serve(scope, receive, answer, call)
        except asyncio.CancelledError:
            if not self._state.stopping:
                raise
            if not answer.started:  # it took longer than the server waits for calls when it stops
                await stopping_problem(call.id)(scope, receive, answer)
        except Exception:
            _logger.exception("Call %s failed: %s %s", call.id, scope["method"], ascii(scope["path"]))
            if answer.started:
                raise  # cuts the connection, so that nobody takes a part for the whole
            await unforeseen_problem(call.id)(scope, receive, answer)

    async def _serve(self, scope: Scope, receive: Receive, answer: Send, call: Call) -> None:
        try:
            await self._admit(scope, call)
        except DjedError as error:
            await problem(error, call.id)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    async def _admit(self, scope: Scope, call: Call) -> None:
        """Raise ``DjedError`` where the call is not even looked at."""
        headers = dict(scope["headers"])
        if self._state.config.serve_open:
            _check_origin(headers)
        header = headers.get(b"authorization")
        text = recognise(call, self._state, None if header is None else header.decode("latin-1"))
        # Those whose token is not known are counted by their address before it is looked up: guessing has its rate too.
        caller = call.principal.token if call.principal else None
        self._rates.take(caller or (scope.get("client") or ("",))[0], time.monotonic())
        if text is not None:
            await look_up(call, self._state, text)


class _Answer:
    """The way out of a call, on which every answer gets the headers that all have."""

    def __init__(self, send: Send, call: str) -> None:
        self.started = False
        self._send = send
        self._call = call.encode()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = message["headers"] = list(message["headers"])
            present = {name for name, _ in headers}
            headers.append((b"x-request-id", self._call))
            headers += [item for item in _SAFE if item[0] not in present]
            if b"cache-control" not in present:
                headers.append(_UNKEPT)
        await self._send(message)


def _check_origin(headers: dict[bytes, bytes]) -> None:
    """Where nobody needs a token, a page of somebody else's must not call us through the browser of who sits here.

    It could by a name of its own that points to us (DNS rebinding: then ``Host`` tells), or by a form (then ``Origin`` does).
    Raises ``AccessError``.
    """
    host = headers.get(b"host", b"").decode("latin-1").lower()
    origin = headers.get(b"origin")
    if not _is_local(host) or (origin is not None and origin.decode("latin-1").lower() != f"http://{host}"):
        raise AccessError(
            "This server takes only calls from this machine.", hint="Serve with tokens: without --open."
        )


def _is_local(host: str) -> bool:
    """Whether ``Host`` names this machine: ``localhost:8570``, ``127.0.0.1``, ``[::1]:8570``."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
