"""The service itself: is it there, which version, and what does it take."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from djed import __version__
from djed.api.answers import answer
from djed.api.auth import Caller
from djed.api.openapi import document
from djed.api.problems import stopping_problem
from djed.api.state import call_of, state_of

__all__ = ["router"]

router = APIRouter(tags=["service"])
_OPEN: dict[str, Any] = {"security": []}


@router.get("/healthz", openapi_extra=_OPEN)
async def health() -> Response:
    """Whether the process answers at all."""
    return answer({"status": "ok"})


@router.get("/readyz", openapi_extra=_OPEN)
def ready(request: Request) -> Response:
    """Whether calls can be served: the store answers and the server is not about to stop. 503 where not."""
    state = state_of(request)
    if state.stopping:
        return stopping_problem(call_of(request.scope).id)
    state.admin.any_tokens()
    return answer({"status": "ready"})


@router.get("/v1/version", openapi_extra=_OPEN)
async def version() -> Response:
    """The version of the server."""
    return answer({"name": "djed", "version": __version__})


@router.get("/v1/schema")
def schema(_: Caller) -> Response:
    """The JSON Schema of requests."""
    from djed.intake.schema import schema as of_requests

    return answer(of_requests())


@router.get("/v1/openapi.json")
def openapi(_: Caller, request: Request) -> Response:
    """This document."""
    app: FastAPI = request.app
    if app.openapi_schema is None:
        app.openapi_schema = document(app.routes)
    return answer(app.openapi_schema)
