"""Who may do what: tokens, namespaces, the audit log; clean-up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from djed.api import forms, shapes
from djed.api.answers import answer
from djed.api.auth import Administering, Caller, Reading
from djed.api.body import Body
from djed.api.parameters import After, Limit, Name
from djed.errors import Fault, RequestError
from djed.model.access import AuditEntry, Namespace, Token
from djed.model.principal import Principal
from djed.model.summary import Collected, Page

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["administration"])

TokenId = Annotated[str, Path(description="Id of a token.", pattern=r"^[A-Za-z0-9_-]{1,64}$")]


@router.get("/whoami", response_model=Principal)
def whoami(caller: Caller) -> Response:
    """Tell who calls, as what, in which namespace."""
    return answer(shapes.shape(caller))


@router.get("/tokens", response_model=Page[Token])
def tokens(admin: Administering) -> Response:
    """List all tokens, without their secrets."""
    return answer(shapes.page(admin.tokens()))


@router.post("/tokens", status_code=201, response_model=Token, openapi_extra=forms.described(forms.NewToken))
def create_token(admin: Administering, body: Body) -> Response:
    """Make a token. `text`, which is sent as `Authorization: Bearer`, is told only now."""
    wanted = forms.form(forms.NewToken, body)
    token, text = admin.create_token(
        wanted.name, namespace=wanted.namespace, scope=wanted.scope, ttl=wanted.ttl
    )
    return answer({**shapes.shape(token), "text": text}, 201)


@router.delete("/tokens/{id}", response_model=Token)
def revoke_token(admin: Administering, id: TokenId) -> Response:  # noqa: A002 (its name in the address)
    """Let a token open nothing any more."""
    return answer(shapes.shape(admin.revoke(id)))


@router.get("/namespaces", response_model=Page[Namespace])
def namespaces(admin: Administering) -> Response:
    """List the namespaces with their quotas."""
    return answer(shapes.page(admin.namespaces()))


@router.put("/namespaces/{name}", response_model=Namespace, openapi_extra=forms.described(forms.NewNamespace))
def set_namespace(admin: Administering, name: Name, body: Body) -> Response:
    """Make a namespace, or give it another share, other quotas, other bounds."""
    wanted = forms.form(forms.NewNamespace, body)
    if wanted.name not in {None, name}:
        fault = Fault(path="name", message="is another one than in the path")
        raise RequestError(f"name: {fault.message}.", faults=(fault,))
    kept = admin.set_namespace(
        Namespace(
            name=name,
            weight=wanted.weight,
            priority=wanted.priority,
            quota=wanted.quota,
            retention=wanted.retention,
        )
    )
    return answer(shapes.shape(kept))


@router.delete("/namespaces/{name}", status_code=204)
def remove_namespace(admin: Administering, name: Name) -> Response:
    """Forget an empty namespace and its tokens."""
    admin.remove_namespace(name)
    return Response(None, 204)


@router.get("/audit", response_model=Page[AuditEntry])
def audit(
    admin: Administering,
    limit: Limit = 100,
    after: After = None,
    namespace: Annotated[
        str | None, Query(description="Of one namespace.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    ] = None,
) -> Response:
    """List who did what, newest first."""
    return answer(shapes.page(admin.audit(limit=limit, after=after, namespace=namespace)))


@router.post("/gc", response_model=Collected, openapi_extra=forms.described(forms.CleanUp))
def gc(_: Administering, engine: Reading, body: Body) -> Response:
    """Remove what nothing needs, in all namespaces."""
    wanted = forms.form(forms.CleanUp, body)
    return answer(shapes.shape(engine.gc(older_than=wanted.older_than, dry_run=wanted.dry_run)))
