"""Server-sent events on the wire (https://html.spec.whatwg.org/multipage/server-sent-events.html), and where a follower is in them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import Response

from djed.errors import UnreadableError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["HEARTBEAT", "Bookmark", "EventStream", "Mark", "frame", "json_of", "opening"]

HEARTBEAT = b":\n\n"
"""A comment: it keeps proxies from closing what is silent, and tells us of clients that are gone."""
_RETRY = 2000
"""Milliseconds after which a browser that lost the stream comes back."""
_MARK = r"[A-Za-z0-9_-]{1,64}\.[0-9]{1,9}\.[0-9]{1,18}\.[0-9]{1,18}"
_BOOKMARK = re.compile(rf"(?P<position>[0-9]{{1,19}}\.[0-9]{{1,19}})?(?P<marks>(?:;{_MARK})*)")
_LONGEST = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How far the log of a job was told."""

    attempt: int
    """Number of the attempt; each begins a new log."""
    stdout: int = 0
    """Bytes."""
    stderr: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Bookmark:
    """The ``id`` of an event: all that is needed to go on behind it, on any server of the same store."""

    position: str = ""
    """Of the last event of an inspection that was told."""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """By job, of those whose log was told in part."""

    def __str__(self) -> str:
        marks = (f";{job}.{mark.attempt}.{mark.stdout}.{mark.stderr}" for job, mark in self.marks.items())
        return self.position + "".join(marks)

    @classmethod
    def parse(cls, text: str | None) -> Bookmark:
        """The bookmark of a ``Last-Event-ID``; the beginning where there is none. Raises ``UnreadableError``."""
        match = _BOOKMARK.fullmatch(text or "") if len(text or "") <= _LONGEST else None
        if match is None:
            raise UnreadableError(
                "The header Last-Event-ID is not the id of an event of this stream.",
                hint="Send the last id that came, or none to begin anew.",
            )
        marks = {}
        for item in match["marks"].split(";")[1:]:
            job, attempt, stdout, stderr = item.rsplit(".", 3)
            marks[job] = Mark(attempt=int(attempt), stdout=int(stdout), stderr=int(stderr))
        return cls(position=match["position"] or "", marks=marks)


def json_of(value: Any) -> str:
    """JSON in one line. What is no Unicode (half a surrogate pair, from a script's own JSON) is escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if text.isascii() or _is_unicode(text) else json.dumps(value, separators=(",", ":"))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def frame(event: str, data: str, id_: Bookmark | str) -> bytes:
    """One event. ``data`` is JSON in one line."""
    return f"event: {event}\nid: {id_}\ndata: {data}\n\n".encode()


def opening(id_: Bookmark | str) -> bytes:
    """The beginning of a stream: when to come back, and from where if nothing else comes. Without data a browser tells its page nothing."""
    where = f"id: {id_}\n" if str(id_) else ""
    return f"retry: {_RETRY}\n{where}\n".encode()


class EventStream(Response):
    """Sends frames as they come. Whatever ends it, the frames' generator is closed at once and lets go of what it holds."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes, frames: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._frames = frames

    @classmethod
    async def begin(cls, frames: AsyncGenerator[bytes, None]) -> EventStream:
        """A stream whose first frame is there, so that what prevents it is still an answer of its own. Raises what that raises."""
        return cls(await anext(frames), frames)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Until the frames end or the client leaves."""
        async with aclosing(self._frames), anyio.create_task_group() as group:

            async def leave() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(leave)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for part in self._frames:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            group.cancel_scope.cancel()
