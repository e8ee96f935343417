"""The body of a call: bounded in size and time, UTF-8, of a known type, nested no deeper than a request file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from djed.api.state import state_of
from djed.errors import MediaTypeError, RequestError, TooLargeError, UnreadableError
from djed.intake.document import Document, parse
from djed.model.quantity import format_size

__all__ = ["TYPES", "Body", "Written", "chunks", "read"]

TYPES = {
    "application/json": "body.json",
    "application/yaml": "body.yaml",
    "application/x-yaml": "body.yaml",
    "text/yaml": "body.yaml",
    "application/toml": "body.toml",
}
"""Types of a body and the names by which messages call it."""

_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_CHARSETS = ("utf-8", "utf8", "us-ascii")
_INLINE = 64 * 1024
"""Bytes that are parsed at once; more are parsed in a thread, meanwhile others are served."""


async def chunks(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body in parts. Raises ``TooLargeError`` beyond ``most`` bytes, and answers 408 where a part does not come in time."""
    patience = state_of(request).config.serve_patience
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise _too_large(most)
    size = 0
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(patience):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise HTTPException(408, f"No part of the body came within {patience:g} s.") from error
        except ClientDisconnect as error:
            # Nobody is there to read it, but neither is it a failure of ours.
            raise HTTPException(400, "The body was cut off.") from error
        if chunk is None:
            return
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        yield chunk


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(f"The body is larger than {format_size(most)}.")


async def read(request: Request, most: int) -> bytes:
    """The whole body; see :func:`chunks`."""
    return b"".join([chunk async for chunk in chunks(request, most)])


async def _document(request: Request) -> Document:
    name = _name(request)
    config = state_of(request).config
    # Only JSON brings the contents of files along; the others are request files, and slow to parse.
    most = config.serve_body if name.endswith(".json") else config.limits_request
    content = await read(request, most)
    try:
        if len(content) <= _INLINE:
            return parse(name, content)
        return await run_in_threadpool(parse, name, content)
    except RequestError as error:
        raise UnreadableError(error.message, faults=error.faults, hint=error.hint) from error


def _name(request: Request) -> str:
    """What messages call the body; its ending says how it is read. Raises ``MediaTypeError``."""
    # A body without a type is taken for JSON: so are those of the oldest clients.
    kind, _, parameters = request.headers.get("content-type", "application/json").partition(";")
    kind = kind.strip().lower()
    if kind not in TYPES:
        raise MediaTypeError(
            f"A body of type {kind[:80]!r} is not understood.", hint=f"Known are {', '.join(TYPES)}."
        )
    charset = _CHARSET.search(parameters)
    if charset is not None and charset[1].lower() not in _CHARSETS:
        raise MediaTypeError(f"A body in {charset[1][:80]!r} is not understood.", hint="Send UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaTypeError("A body that is compressed is not understood.", hint="Send it as it is.")
    return TYPES[kind]


async def _mapping(document: Written) -> Mapping[str, Any]:
    return document.data


Written = Annotated[Document, Depends(_document)]
"""The body as a document, with its lines for messages. 400 where it cannot be read, 413 and 415 where it is not taken."""
Body = Annotated[Mapping[str, Any], Depends(_mapping)]
"""The body as a mapping of plain values."""
