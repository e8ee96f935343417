"""What would become of a request, without running it."""

from __future__ import annotations

from fastapi import APIRouter, Response

from djed.api import forms, shapes
from djed.api.answers import answer
from djed.api.auth import Submitting
from djed.api.body import Written
from djed.api.parameters import Wait
from djed.api.submissions import read_one
from djed.model.preview import Preview

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["planning"])


@router.post("/plan", response_model=Preview, openapi_extra=forms.described(forms.REQUEST))
def plan(engine: Submitting, document: Written, wait: Wait = 30) -> Response:
    """Preview a request: would it fit and why not, the nodes, the stack, the jobs, its turn. Only the stack may be resolved for it."""
    return answer(shapes.shape(engine.preview(read_one(document, engine.config), wait=wait)))
