"""What would become of a request, without running it."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.responses import PlainTextResponse

from djed.api import forms, shapes
from djed.api.answers import answer
from djed.api.auth import Reading, Submitting
from djed.api.body import Written
from djed.api.parameters import Form, Wait
from djed.api.submissions import read_one
from djed.model.preview import Preview

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["planning"])


@router.post("/plan", response_model=Preview, openapi_extra=forms.described(forms.REQUEST))
def plan(engine: Submitting, document: Written, wait: Wait = 30) -> Response:
    """Preview a request: would it fit and why not, the nodes, the stack, the jobs, its turn.

    Nothing is built or run for it; the stack is resolved where it is not known yet, and `wait` says how long that may take.
    """
    submission = read_one(document, engine.config)
    return answer(shapes.shape(engine.preview(submission, wait=wait)))


@router.post(
    "/recipe",
    response_class=PlainTextResponse,
    response_model=str,
    openapi_extra=forms.described(forms.REQUEST),
)
def recipe(engine: Reading, document: Written, form: Form = "containerfile") -> PlainTextResponse:
    """Write the environment of a request as a recipe that can be built by hand."""
    submission = read_one(document, engine.config)
    return PlainTextResponse(engine.recipe(submission, form))
