"""What a namespace has for itself: its use of the hardware, its secrets and its webhooks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from djed.api import forms, shapes
from djed.api.answers import answer
from djed.api.auth import Managing, Reading
from djed.api.body import Body, read
from djed.model.access import Usage
from djed.model.secret import SECRET_NAME, SECRET_SIZE
from djed.model.summary import Page
from djed.model.webhook import Delivery, Webhook

__all__ = ["router"]

router = APIRouter(prefix="/v1")

_RAW = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary", "minLength": 1, "maxLength": SECRET_SIZE}
            }
        },
    }
}
SecretName = Annotated[
    str, Path(description="Name of a secret.", pattern=f"^{SECRET_NAME.pattern}$", examples=["api-key"])
]
WebhookId = Annotated[str, Path(description="Id of a webhook.", pattern=r"^[A-Za-z0-9_-]{1,64}$")]


@router.get("/usage", response_model=Usage, tags=["namespace"])
def usage(engine: Reading) -> Response:
    """Tell what the namespace holds now, and which of its quotas are full."""
    return answer(shapes.shape(engine.usage()))


@router.get("/secrets", response_model=Page[str], tags=["secrets"])
def secrets(engine: Managing) -> Response:
    """List the names of its secrets. Their values are never told."""
    return answer({"items": list(engine.secrets()), "next": None})


@router.put("/secrets/{name}", status_code=204, tags=["secrets"], openapi_extra=_RAW)
async def set_secret(request: Request, engine: Managing, name: SecretName) -> Response:
    """Keep the body as a secret, encrypted, in the place of an earlier one of that name."""
    value = await read(request, SECRET_SIZE)
    await run_in_threadpool(engine.set_secret, name, value)
    return Response(None, 204)


@router.delete("/secrets/{name}", status_code=204, tags=["secrets"])
def remove_secret(engine: Managing, name: SecretName) -> Response:
    """Forget a secret."""
    engine.remove_secret(name)
    return Response(None, 204)


@router.get("/webhooks", response_model=Page[Webhook], tags=["webhooks"])
def webhooks(engine: Managing) -> Response:
    """List its webhooks, in order of creation."""
    return answer(shapes.page(engine.webhooks()))


@router.post(
    "/webhooks",
    status_code=201,
    response_model=Webhook,
    tags=["webhooks"],
    openapi_extra=forms.described(forms.NewWebhook),
)
def add_webhook(engine: Managing, body: Body) -> Response:
    """Have an address told of events. `secret`, by which its messages are signed, is told only now."""
    wanted = forms.form(forms.NewWebhook, body)
    webhook, secret = engine.add_webhook(wanted.url, wanted.events)
    return answer({**shapes.shape(webhook), "secret": secret}, 201)


@router.delete("/webhooks/{id}", status_code=204, tags=["webhooks"])
def remove_webhook(engine: Managing, id: WebhookId) -> Response:  # noqa: A002 (its name in the address)
    """Tell that address nothing more."""
    engine.remove_webhook(id)
    return Response(None, 204)


@router.get("/webhooks/{id}/deliveries", response_model=Page[Delivery], tags=["webhooks"])
def deliveries(
    engine: Managing,
    id: WebhookId,  # noqa: A002 (its name in the address)
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List what it was told last, and what was given up, newest first."""
    return answer(shapes.page(engine.deliveries(id, limit=limit)))
