"""The metrics of the service, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from djed.api.auth import Caller
from djed.api.metrics import expose
from djed.api.state import state_of

__all__ = ["router"]

router = APIRouter(tags=["service"])


@router.get("/metrics", response_class=PlainTextResponse, response_model=str)
def metrics(_: Caller, request: Request) -> Response:
    """What Prometheus collects (docs/reference/metrics.md), in its text form or, where asked for, in that of OpenMetrics."""
    state = state_of(request)
    accept = request.headers.get("accept", "")
    content, media_type = expose(state.engine.store, state.config, request.app.state.counters, accept=accept)
    return Response(content, media_type=media_type)
