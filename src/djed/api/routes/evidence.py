"""What came of an inspection: lock, recipe, events, differences; where it stands in the queue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.responses import PlainTextResponse

from djed.api import shapes
from djed.api.answers import answer
from djed.api.auth import Reading
from djed.api.parameters import Form, Reference
from djed.errors import ConflictError
from djed.model.difference import Difference
from djed.model.inspection import Event
from djed.model.lock import Lock
from djed.model.preview import QueuePlace
from djed.model.summary import Page
from djed.service import reading

__all__ = ["router"]

router = APIRouter(prefix="/v1/inspections/{reference}", tags=["inspections"])


@router.get("/events", response_model=Page[Event])
def events(
    engine: Reading,
    reference: Reference,
    after: Annotated[
        str,
        Query(description="Position of the last event that is known.", pattern=r"^(\d{1,18}\.\d{1,18})?$"),
    ] = "",
    limit: Annotated[int, Query(description="Events of a page.", ge=1, le=1000)] = 1000,
) -> Response:
    """List what happened to an inspection, in order."""
    found = engine.events([reading.version(engine, reference).id], after)
    cursor = found[limit - 1].position if len(found) >= limit else None
    return answer(shapes.page(Page(items=found[:limit], next=cursor)))


@router.get("/queue", response_model=QueuePlace)
def queue(engine: Reading, reference: Reference) -> Response:
    """Tell where it stands in the queue, and when it may start."""
    return answer(shapes.shape(engine.queue(reference)))


@router.get("/lock", response_model=Lock)
def lock(engine: Reading, reference: Reference) -> Response:
    """Get the lock: exact versions, hashes and origins of all packages."""
    found = engine.get(reference)
    if found.lock is None:
        raise ConflictError(f"The inspection {found.id} has no lock (yet): it is {found.state}.")
    return answer(found.lock)


@router.get("/recipe", response_class=PlainTextResponse, response_model=str)
def recipe(engine: Reading, reference: Reference, form: Form = "containerfile") -> PlainTextResponse:
    """Get its environment as a recipe that can be built by hand, with its very stack where that is known."""
    return PlainTextResponse(engine.recipe(reference, form))


@router.get("/diff/{other}", response_model=Difference)
def diff(engine: Reading, reference: Reference, other: Reference) -> Response:
    """Tell what differs between two inspections, and only that."""
    return answer(asdict(engine.difference(reference, other)))
