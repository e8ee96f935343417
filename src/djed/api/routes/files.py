"""Contents of files that requests name by their digest."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from djed.api.auth import Reading, Submitting
from djed.api.body import chunks
from djed.api.parameters import Digest
from djed.errors import NotFoundError
from djed.toolbox.folder import writing

__all__ = ["router"]

router = APIRouter(prefix="/v1/files", tags=["files"])

_IN_MEMORY = 2**20
_BODY = {
    "requestBody": {
        "required": False,  # nothing is a content too
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put("/{digest}", status_code=204, openapi_extra=_BODY)
async def upload(request: Request, engine: Submitting, digest: Digest) -> Response:
    """Upload the content of a file, of any type. What is there already is not sent twice: ask with `HEAD`."""
    # First all of it, in no thread's time: a slow client must not hold what others need.
    folder = engine.store.data  # where there is as much space as the content will need
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder)) as file:
        async for chunk in chunks(request, engine.config.limits_files):
            with writing(folder):
                await _write(file, chunk)
        file.seek(0)
        await run_in_threadpool(engine.upload, digest, cast("BinaryIO", file))
    return Response(None, 204)


@router.head("/{digest}", status_code=204)
def has(engine: Reading, digest: Digest) -> Response:
    """Tell whether a content was uploaded."""
    if not engine.has_file(digest):
        raise NotFoundError(f"The content {digest} was not uploaded.")
    return Response(None, 204)


async def _write(file: tempfile.SpooledTemporaryFile[bytes], chunk: bytes) -> None:
    if file.tell() + len(chunk) <= _IN_MEMORY:
        file.write(chunk)
    else:
        await run_in_threadpool(file.write, chunk)
