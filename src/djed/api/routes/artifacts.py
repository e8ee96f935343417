"""Artifacts: what builds left behind, in short, in full, and as files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from djed.api import shapes
from djed.api.answers import answer
from djed.api.auth import Reading
from djed.api.downloads import PROBLEM, Download, disposition
from djed.api.parameters import After, Digest, Limit
from djed.errors import NotFoundError
from djed.model.artifact import SINGLE_FILES, Artifact
from djed.model.summary import Page, StoredArtifact
from djed.service.engine import Engine
from djed.service.push import single_file
from djed.toolbox.fs import open_regular
from djed.toolbox.packing import pack

__all__ = ["router"]

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The one file of a wheel, an archive or an Apptainer image; else the folder as tar.gz.",
        "content": {"application/octet-stream": _BINARY, "application/gzip": _BINARY},
    },
    206: {"description": "The part that `Range` asks for.", "content": {"application/octet-stream": _BINARY}},
    416: {"description": "It has no such part.", "content": PROBLEM},
}


@router.get("", response_model=Page[StoredArtifact])
def list_all(engine: Reading, limit: Limit = 100, after: After = None) -> Response:
    """List the artifacts that inspections of the namespace use."""
    return answer(shapes.page(engine.artifacts(limit=limit, after=after)))


@router.get("/{digest}", response_model=Artifact)
def get(engine: Reading, digest: Digest) -> Response:
    """Get what is in an artifact: its packages with version, index, hashes and licence."""
    return answer(shapes.shape(_found(engine, digest)))


@router.get("/{digest}/download", response_class=Response, responses=_FILES)
def download(request: Request, engine: Reading, digest: Digest) -> Response:
    """Get its files: a wheel, an archive, an Apptainer image as it is; else a tar.gz, without links to what lies elsewhere.

    Of an image the OCI layout.
    """
    artifact = _found(engine, digest)
    folder = engine.store.artifact_path(artifact)
    if not folder.is_dir():
        raise NotFoundError(f"The files of the artifact {digest} are not on this machine.")
    if artifact.kind in SINGLE_FILES:
        name = single_file(folder)
        return Download(request, _opened(folder, name), name=name)
    name = f"{artifact.kind}-{digest.partition(':')[2][:16]}"
    headers = {"Content-Disposition": disposition(f"{name}.tar.gz")}
    # The layers of an image are unpacked beside its layout, for jobs.
    parts = pack(folder, name, without=("root",) if artifact.kind == "image" else ())
    return StreamingResponse(parts, headers=headers, media_type="application/gzip")


def _found(engine: Engine, digest: str) -> Artifact:
    artifact = engine.artifact(digest)
    if artifact is None:
        raise NotFoundError(f"There is no artifact {digest}.", hint="It may have been removed by: djed gc")
    return artifact


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[BinaryIO]:
    with open_regular(folder, name) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
        yield file
