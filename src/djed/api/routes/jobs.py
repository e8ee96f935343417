"""Jobs and attempts, what they wrote and what they left."""

from __future__ import annotations

import io
from contextlib import nullcontext
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from djed.api import shapes
from djed.api.answers import answer
from djed.api.auth import Reading
from djed.api.downloads import PROBLEM, Download
from djed.api.parameters import JobId, Reference, Role
from djed.errors import NotFoundError
from djed.model.inspection import AttemptRecord, JobRecord
from djed.model.summary import Page
from djed.service import reading

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["jobs"])

StreamName = Literal["stdout", "stderr"]
Offset = Annotated[int, Query(ge=0, lt=2**62, description="Bytes to leave out at the beginning.")]
Most = Annotated[int | None, Query(ge=0, lt=2**62, description="Most bytes to get.")]

_BYTES: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_WHOLE: dict[int | str, dict[str, Any]] = {200: {"description": "All of it.", "content": _BYTES}}
_PARTS: dict[int | str, dict[str, Any]] = {
    **_WHOLE,
    206: {"description": "The part that `Range` asks for.", "content": _BYTES},
    416: {"description": "It has no such part.", "content": PROBLEM},
}
_RANGE = {
    "parameters": [
        {
            "name": "Range",
            "in": "header",
            "description": "The part to get: `bytes=0-99`, `bytes=100-`, `bytes=-100`.",
            "schema": {"type": "string"},
        }
    ]
}


@router.get("/inspections/{reference}/jobs", response_model=Page[JobRecord])
def jobs(engine: Reading, reference: Reference) -> Response:
    """List its jobs with their reports, in the order in which they were made."""
    return answer(shapes.page(engine.jobs(reference)))


@router.get("/inspections/{reference}/attempts", response_model=Page[AttemptRecord])
def attempts(engine: Reading, reference: Reference) -> Response:
    """List every attempt of its jobs, in order of start."""
    return answer(shapes.page(engine.attempts(reference)))


@router.get(
    "/inspections/{reference}/logs/{role}/{stream}",
    response_class=Response,
    responses=_PARTS,
    openapi_extra=_RANGE,
)
def log_of_role(
    *, request: Request, engine: Reading, reference: Reference, role: Role, stream: StreamName
) -> Response:
    """Get what a job of an inspection wrote so far, whole or in part."""
    job = next((job for job in engine.jobs(reference) if job.role == role), None)
    if job is None:
        raise NotFoundError(f"The inspection {reference} has no job {role!r}.")
    content = engine.log(job.id, stream)
    return Download(request, nullcontext(io.BytesIO(content)), name=f"{reference}-{role}-{stream}.txt")


@router.get(
    "/inspections/{reference}/outputs/{role}/{path:path}",
    response_class=Response,
    responses=_PARTS,
    openapi_extra=_RANGE,
)
def output(
    *,
    request: Request,
    engine: Reading,
    reference: Reference,
    role: Role,
    path: Annotated[str, Path(description="Path below the job's outputs.", min_length=1, max_length=4096)],
) -> Response:
    """Get a file that a job left in its outputs, whole or in part."""
    return Download(request, engine.output(reference, role, path), name=path.rpartition("/")[2])


@router.get("/jobs/{job}", response_model=JobRecord)
def job_of(engine: Reading, job: JobId) -> Response:
    """Get a job with its report."""
    return answer(shapes.shape(reading.job(engine, job)))


@router.get("/jobs/{job}/log", response_class=Response, responses=_WHOLE)
def log(
    *, engine: Reading, job: JobId, stream: StreamName = "stdout", offset: Offset = 0, limit: Most = None
) -> Response:
    """Get what a job wrote so far."""
    return Response(engine.log(job, stream, offset, limit), media_type="application/octet-stream")
