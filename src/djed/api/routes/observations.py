"""Observations: what was found, as JSON or as CSV."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from djed.api import shapes
from djed.api.answers import answer
from djed.api.auth import Reading
from djed.api.downloads import disposition
from djed.api.parameters import After, Limit
from djed.model.summary import Page, StoredObservation
from djed.observe import tabular

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["observations"])

Kind = Literal["locks", "builds", "runs", "fails", "metric", "noise_floor"]


@router.get(
    "/observations",
    response_model=Page[StoredObservation],
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def list_all(
    *,
    request: Request,
    engine: Reading,
    inspection: Annotated[
        str | None, Query(description="Of one inspection.", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    ] = None,
    kind: Annotated[Kind | None, Query(description="Of one kind.")] = None,
    limit: Limit = 1000,
    after: After = None,
    format: Annotated[Literal["json", "csv"] | None, Query(description="Else by `Accept`.")] = None,  # noqa: A002 (its name in the address)
) -> Response:
    """List observations, newest first. As CSV the cursor of the next page is in the header `Link`."""
    found = engine.observations(inspection, kind=kind, limit=limit, after=after)
    headers = {"Vary": "Accept"}
    if found.next is not None:
        headers["Link"] = (
            f'<{request.url.path}?{request.url.include_query_params(after=found.next).query}>; rel="next"'
        )
    if format == "csv" or (format is None and _prefers_csv(request.headers.get("accept", ""))):
        headers["Content-Disposition"] = disposition("observations.csv")
        return Response(
            tabular.observations(found.items), headers=headers, media_type="text/csv; charset=utf-8"
        )
    return answer(shapes.page(found), headers=headers)


def _prefers_csv(accept: str) -> bool:
    """Who names CSV and not JSON wants it; nobody weighs the two against each other."""
    return "text/csv" in accept and "json" not in accept
