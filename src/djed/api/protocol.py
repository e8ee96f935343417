"""What uvicorn lets in: a bounded number of connections, and on each a head of bounded size that comes in time."""

from __future__ import annotations

import json
import secrets
from asyncio import TimerHandle, Transport
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["PatientProtocol", "patient"]

_MOST_HEAD = 64 * 1024
"""Bytes of the head of a call; a read of the socket may go beyond it once."""


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools. Who opens a connection and says nothing, or says it a byte at a time, loses it."""

    patience: ClassVar[float] = 10.0
    """Seconds for a head, and for the rest of a body that nobody wants any more."""
    most: ClassVar[int] = 20_000
    """Connections at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: TimerHandle | None = None
        self._in_head = False
        self._head_size = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Somebody connected."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(503, "There are too many connections.", "Retry-After: 1\r\n")
        else:
            self._give_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_size += len(data)
            if self._head_size > _MOST_HEAD:
                self._refuse(431, f"The head of the call is larger than {_MOST_HEAD // 1024} KiB.")
            elif self._timer is None:
                self._give_time()

    def on_message_begin(self) -> None:
        """The first byte of a call."""
        super().on_message_begin()
        self._in_head = True
        self._head_size = 0

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is sent. What is left of a body that was refused is read and dropped, for a while: it may be under way."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._give_time()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (a text of uvicorn)
        """The head is not HTTP."""
        self._refuse(400, "This is not a call of HTTP.")

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that was asked for is not made; the call is answered all the same. Worth no line in the log."""

    def _give_time(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.patience, self._time_over)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_over(self) -> None:
        self._timer = None
        if self._in_head and not self.transport.is_closing():
            self._refuse(408, f"The head of the call did not come within {self.patience:g} s.")
        else:
            self.transport.abort()

    def _refuse(self, status: int, detail: str, headers: str = "") -> None:
        """Answer for the application, which knows nothing of this, and close."""
        self._stop_timer()
        phrase = HTTPStatus(status).phrase
        call = secrets.token_hex(8)
        body = json.dumps(
            {
                "type": f"urn:djed:error:{phrase.lower().replace(' ', '-')}",
                "title": phrase,
                "status": status,
                "detail": detail,
                "request_id": call,
            }
        )
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-Id: {call}\r\nCache-Control: no-store\r\nConnection: close\r\n{headers}\r\n"
        )
        self.transport.write((head + body).encode("ascii"))
        self.transport.close()


def patient(*, patience: float, connections: int) -> type[PatientProtocol]:
    """The protocol with these bounds; uvicorn makes one for each connection and gives it only its own settings."""
    return type("Protocol", (PatientProtocol,), {"patience": patience, "most": connections})
