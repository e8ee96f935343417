"""Answers as prepared responses: the framework would validate and convert every value once more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from djed.model.codec import encode

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["answer", "unchanged"]

# What a caller may keep it must ask about again: its token may be revoked meanwhile.
_KEPT = "private, no-cache"


def answer(
    value: Any, status: int = 200, *, etag: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A noun, mapping or sequence as JSON. ``etag`` is the bare tag, without quotes."""
    content = json.dumps(encode(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return Response(content, status, _headers(etag, headers), media_type="application/json")


def unchanged(request: Request, etag: str) -> Response | None:
    """The answer 304 where the caller has what bears this tag (``If-None-Match``), else ``None``."""
    known = request.headers.get("if-none-match")
    if known is None:
        return None
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in known.split(",")}
    return Response(None, 304, _headers(etag, None)) if etag in tags or "*" in tags else None


def _headers(etag: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    found = dict(headers or {})
    if etag is not None:
        found |= {"ETag": f'"{etag}"', "Cache-Control": _KEPT}
    return found
