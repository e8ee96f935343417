"""Answers as prepared responses: the framework would validate and convert every value once more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from djed.model.codec import encode

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["answer", "tagged", "unchanged"]

# What a caller may keep it must ask about again: its token may be revoked meanwhile.
_KEPT = "private, no-cache"


def answer(value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """A noun, mapping or sequence as JSON."""
    content = json.dumps(encode(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return Response(content, status, headers, media_type="application/json")


def tagged(etag: str) -> dict[str, str]:
    """The headers of an answer that bears this tag; ``etag`` is bare, without quotes."""
    return {"ETag": f'"{etag}"', "Cache-Control": _KEPT}


def unchanged(request: Request, etag: str) -> Response | None:
    """The answer 304 where the caller has what bears this tag (``If-None-Match``), else ``None``."""
    known = request.headers.get("if-none-match")
    if known is None:
        return None
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in known.split(",")}
    return Response(None, 304, tagged(etag)) if etag in tags or "*" in tags else None
