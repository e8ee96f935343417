"""Inspections: asked for, listed, looked at, cancelled, retried, cloned and forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from djed.api import forms, shapes
from djed.api.answers import answer, tagged, unchanged
from djed.api.auth import Managing, Reading, Submitting
from djed.api.body import Body, Written
from djed.api.parameters import After, Fresh, Key, Limit, Reference, Wait
from djed.api.state import state_of
from djed.api.submissions import read_group, read_one
from djed.model.inspection import FINAL, Inspection
from djed.model.summary import Page, Sort, Summary
from djed.service import reading
from djed.service.engine import Engine
from djed.store.documents import Version

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["inspections"])

Standing = Literal[
    "queued", "locking", "building", "running", "done", "refused", "cancelled",
    "succeeded", "failed", "timed_out", "out_of_memory",
]  # fmt: skip

_TAGGED = {
    "ETag": {"description": "Another one after each change.", "schema": {"type": "string"}},
}
_MADE: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "Accepted, and durable.",
        "headers": {"Location": {"description": "Its path.", "schema": {"type": "string"}}, **_TAGGED},
    }
}
_CHANGES = {
    "type": "object",
    "title": "Changes",
    "description": "Fields of a request, each as in a request; `null` resets one.",
}


@router.post(
    "/inspections",
    status_code=201,
    response_model=Inspection,
    responses=_MADE,
    openapi_extra=forms.described(forms.REQUEST),
)
def submit(engine: Submitting, document: Written, fresh: Fresh = False, key: Key = None) -> Response:
    """Submit a request. A request to Amun's own API is understood as well."""
    (new,) = engine.submit([read_one(document, engine.config)], fresh=fresh, key=key)
    return _made(engine, new)


@router.post(
    "/groups",
    status_code=201,
    response_model=Page[Inspection],
    responses={201: {"description": "Accepted, and durable."}},
    openapi_extra=forms.described(forms.Group),
)
def submit_group(engine: Submitting, body: Body, key: Key = None) -> Response:
    """Submit requests that belong together: all or none are accepted, and their repeats interleave."""
    group = forms.form(forms.Group, body)
    submissions = read_group(group.requests, engine.config)
    return answer(shapes.page(engine.submit(submissions, fresh=group.fresh, key=key)), 201)


@router.get("/inspections", response_model=Page[Summary])
def list_all(
    *,
    engine: Reading,
    request: Request,
    state: Annotated[
        tuple[Standing, ...], Query(description="States and outcomes; any of them.", max_length=11)
    ] = (),
    name: Annotated[str | None, Query(description="Their name.", pattern=r"^[A-Za-z0-9._-]{1,100}$")] = None,
    sort: Annotated[Sort, Query(description="Order; `-`: the greatest first.")] = "-created",
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """List inspections in short. The next page is named in the body (`next`) and in the header `Link`."""
    found = engine.page(states=state, name=name, sort=sort, limit=limit, after=after)
    headers = {}
    if found.next is not None:
        query = [("state", word) for word in state] + [
            ("sort", sort),
            ("limit", str(limit)),
            ("after", found.next),
        ]
        query += [("name", name)] if name is not None else []
        headers["Link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    return answer(shapes.page(found), headers=headers)


@router.get(
    "/inspections/{reference}",
    response_model=Inspection,
    responses={200: {"headers": _TAGGED}, 304: {"description": "As it was."}},
)
async def get(request: Request, engine: Reading, reference: Reference, wait: Wait = 0) -> Response:
    """Get an inspection. `wait`: until it is final or, with `If-None-Match`, until it has changed; then it is answered as it is."""
    hub = state_of(request).hub
    if wait and hub is not None:

        def holds(found: Inspection) -> bool:
            is_news = "if-none-match" in request.headers and unchanged(request, _tag(found)) is None
            return is_news or found.state in FINAL

        await hub.until(engine, reference, holds, wait)
    return await run_in_threadpool(_known_or_whole, request, engine, reference)


@router.delete("/inspections/{reference}", status_code=204)
def remove(engine: Managing, reference: Reference) -> Response:
    """Forget a final inspection. Its observations stay."""
    engine.remove([reference])
    return Response(None, 204)


@router.post("/inspections/{reference}/cancel", status_code=202, response_model=Inspection)
def cancel(engine: Submitting, reference: Reference) -> Response:
    """Ask for its cancellation; it is final when its state says so."""
    return _whole(engine, engine.cancel(reference).id, 202)


@router.post("/inspections/{reference}/retry", status_code=201, response_model=Inspection, responses=_MADE)
def retry(engine: Submitting, reference: Reference) -> Response:
    """Make a new inspection of the same request."""
    return _made(engine, engine.retry(reference))


@router.post(
    "/inspections/{reference}/clone",
    status_code=201,
    response_model=Inspection,
    responses=_MADE,
    openapi_extra=forms.described(_CHANGES),
)
def clone(engine: Submitting, reference: Reference, body: Body) -> Response:
    """Make a new inspection of the same request with some fields changed."""
    return _made(engine, engine.clone(reference, body))


def _known_or_whole(request: Request, engine: Engine, reference: str) -> Response:
    if "if-none-match" in request.headers:
        known = unchanged(request, _tag(reading.version(engine, reference)))
        if known is not None:
            return known
    return _whole(engine, reference)


def _made(engine: Engine, new: Inspection) -> Response:
    return _whole(engine, new.id, 201, {"Location": f"/v1/inspections/{new.id}"})


def _whole(
    engine: Engine, reference: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The inspection as every call answers it, byte by byte: its ETag says so."""
    found = reading.document(engine, reference)
    told = {**(headers or {}), **tagged(_tag(found.version))}
    return Response(found.body, status, told, media_type="application/json")


def _tag(found: Inspection | Version) -> str:
    return shapes.tag(
        id_=found.id,
        token=found.token,
        updated_at=found.updated_at,
        cancel_requested=found.cancel_requested,
    )
