"""What is checked of a request before it is accepted, and what an accepted one becomes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from djed.errors import Fault, RequestError
from djed.model.codec import encode
from djed.model.inspection import Inspection
from djed.model.request import Build, File, Request, Run
from djed.store import lookup
from djed.store.inspections import lead_of
from djed.toolbox.digest import digest_json

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.store.store import Store

__all__ = [
    "changed",
    "check_files",
    "check_hardware",
    "check_priority",
    "check_secrets",
    "files",
    "new",
    "request_digest",
    "uploaded",
]

_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: none is taken for another
_ID_LENGTH = 12


def check_hardware(request: Request) -> None:
    """Intake knows the shape of a requirement; which words mean something is known here. Raises ``RequestError``."""
    from djed.plan.check import check_requirement, check_resources

    sections: list[tuple[str, Build | Run]] = [("build", request.build)]
    if request.run is not None:
        sections.append(("run", request.run))
    faults = [
        fault
        for name, section in sections
        for fault in (
            *check_requirement(section.hardware, f"{name}.hardware"),
            *check_resources(section.resources, f"{name}.resources"),
        )
    ]
    if faults:
        raise RequestError(
            f"{faults[0].path}: {faults[0].message}.", faults=tuple(faults), hint=faults[0].hint
        )


def check_priority(requests: Sequence[Request], highest: int) -> None:
    """Raise ``RequestError`` where one asks for more than its namespace may."""
    if any(request.priority > highest for request in requests):
        message = f"is above {highest}, the highest that this namespace may ask for"
        raise RequestError(f"priority: {message}.", faults=(Fault(path="priority", message=message),))


def check_secrets(connection: sa.Connection, namespace: str, requests: Sequence[Request]) -> None:
    """Raise ``RequestError`` for a secret that the namespace does not have."""
    for request in requests:
        if request.run and request.run.secrets:
            from djed.store import secrets as stored

            if faults := stored.unknown(connection, namespace, request.run.secrets):
                first = faults[0]
                raise RequestError(f"{first.path}: {first.message}.", faults=faults, hint=first.hint)


def files(request: Request) -> list[tuple[str, File]]:
    """Every file of a request with its path in it."""
    found = [(f"environment.files[{i}]", file) for i, file in enumerate(request.environment.files)]
    if request.run and isinstance(request.run.script, File):
        found.append(("run.script", request.run.script))
    return found


def check_files(store: Store, request: Request) -> None:
    """Every file of a request must be in the store before the request is accepted. Raises ``NotFoundError``."""
    for _, file in files(request):
        if file.digest:
            store.blobs.path(file.digest)


def uploaded(
    connection: sa.Connection, namespace: str, requests: Sequence[Request], given: Mapping[str, Any]
) -> None:
    """Raise ``RequestError`` for a content that the namespace never showed: who knows the digest of a foreign file gets nothing by it."""
    named = {
        file.digest: path
        for request in requests
        for path, file in files(request)
        if file.digest and file.digest not in given
    }
    from djed.store import answers

    for digest in answers.missing_uploads(connection, namespace, named):
        message = f"the content {digest} was not uploaded"
        fault = Fault(path=named[digest], message=message, hint="Upload it first: PUT /v1/files/DIGEST")
        raise RequestError(f"{fault.path}: {message}.", faults=(fault,), hint=fault.hint)


def new(
    connection: sa.Connection,
    request: Request,
    *,
    namespace: str,
    origin: Mapping[str, Any] | None,
    digest: str,
    now: float,
) -> Inspection:
    """A queued inspection, or one that an identical earlier one answers (``reuse: result``)."""
    fresh = Inspection(
        id="".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH)),
        name=request.name,
        state="queued",
        request=request,
        created_at=now,
        updated_at=now,
        group=str(lead_of(now)),
        namespace=namespace,
        origin=origin,
    )
    # A secret may have another value by now, and who measured with it may see what others may not.
    reusable = request.reuse == "result" and not (request.run and request.run.secrets)
    known = lookup.answer_by(connection, digest, namespace=namespace) if reusable else None
    if known is None:
        return fresh
    return replace(
        known,
        id=fresh.id,
        name=request.name,
        request=request,
        created_at=now,
        updated_at=now,
        group=fresh.group,
        origin=origin,
        reused=known.reused or known.id,
    )


def request_digest(request: Request) -> str:
    """Of all that decides the result: not of name, labels, priority and reuse."""
    return digest_json(encode(replace(request, name="inspection", labels={}, priority=0, reuse="artifact")))


def changed(request: Request, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping of a request with some fields changed, to be read by intake; ``None`` resets a field (RFC 7396, JSON Merge Patch)."""
    return _merge(encode(request), changes)


def _merge(tree: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            before = merged.get(key)
            merged[key] = _merge(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged
