"""Bytes that others wrote, handed out so that no browser takes them for a page: whole or in part (RFC 9110, section 14)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from djed.api.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

__all__ = ["PROBLEM", "Download", "disposition", "span"]

PROBLEM: dict[str, Any] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
"""What the document says of the body of an error."""

_CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Download(StreamingResponse):
    """The rest of this call's answer is the content of a file, which is closed at the end, however that comes."""

    def __init__(self, request: Request, opened: AbstractContextManager[BinaryIO], *, name: str) -> None:
        """Open the file and read what part of it is asked for. Raises what opening raises, and answers 416 where there is no such part."""
        self._opened = opened
        self._file = opened.__enter__()
        try:
            size = self._file.seek(0, os.SEEK_END)
            part = span(request.headers.get("range"), size)
        except BaseException:
            self._close()
            raise
        start, end = part or (0, size)
        self._start, self._left = start, end - start
        headers = {
            "Content-Length": str(end - start),
            "Content-Disposition": disposition(name),
            "X-Content-Type-Options": "nosniff",
            "Accept-Ranges": "bytes",
        }
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        status = 200 if part is None else 206
        super().__init__(self._parts(), status, headers, media_type="application/octet-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, in parts, each read in a thread, until the caller has it or leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()

    def _parts(self) -> Iterator[bytes]:
        self._file.seek(self._start)
        while self._left and (chunk := self._file.read(min(_CHUNK, self._left))):
            self._left -= len(chunk)
            yield chunk

    def _close(self) -> None:
        self._opened.__exit__(None, None, None)


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end of the one range that is asked for; ``None``: the whole, for several ranges too. Answers 416 where it is outside."""
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise HTTPException(416, f"It has {size} bytes.", {"Content-Range": f"bytes */{size}"})
    return start, end


def disposition(name: str) -> str:
    """``attachment`` with a file name that no header can be injected by (RFC 6266): plain, and as it is where that differs."""
    name = name.encode("utf-8", "replace").decode()[-200:]
    plain = re.sub(r"[^A-Za-z0-9._+-]", "_", name).lstrip(".") or "file"
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{exact}'
