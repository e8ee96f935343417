"""Server-sent events from the bytes of a stream, after the HTML standard (§ 9.2.6, interpreting an event stream)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from djed.errors import ServerError

__all__ = ["Message", "Parser"]

_LINE_ENDS = re.compile(rb"\r\n|\r|\n")
_MARK = b"\xef\xbb\xbf"
_LIMIT = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One event of a stream."""

    kind: str
    """``message`` where the stream names none."""
    data: str
    id: str
    """The last id that the stream told; empty before the first."""


class Parser:
    """Bytes in, messages out. A message that the stream breaks off is never handed out."""

    def __init__(self, *, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._rest = b""
        self._at_start = True
        self._after_return = False
        """The last byte was a CR, which has ended a line; an LF that follows ends none."""
        self._kind = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""
        self.last_id = ""
        """Where to go on after what was handed out so far; a stream may tell it before its first message."""

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that are complete now. Raises ``ServerError`` where one is larger than ``limit`` bytes."""
        if not chunk:
            return
        if self._after_return:
            chunk = chunk.removeprefix(b"\n")
        self._after_return = chunk.endswith(b"\r") or (self._after_return and not chunk)
        *lines, self._rest = _LINE_ENDS.split(self._rest + chunk)
        for line in lines:
            message = self._line(line)
            if message is not None:
                yield message
        self._check(len(self._rest))

    def _line(self, line: bytes) -> Message | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_MARK)
        if not line:
            return self._dispatch()
        self._size += len(line)
        self._check(0)
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Message | None:
        kind, data = self._kind or "message", self._data
        self._kind, self._data, self._size = "", [], 0
        self.last_id = self._id
        return Message(kind=kind, data="\n".join(data), id=self._id) if data else None

    def _check(self, further: int) -> None:
        if self._size + further > self._limit:
            error = ServerError(f"The server sent an event of more than {self._limit} bytes.")
            error.transient = False  # it would send it again
            raise error
