"""Accepting requests: what is checked of them before, and what they become."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from djed.errors import RequestError
from djed.intake.submission import Submission
from djed.model.codec import encode
from djed.model.inspection import Inspection
from djed.model.request import Request
from djed.service.checks import (
    check_base,
    check_hardware,
    check_priority,
    check_secrets,
    check_uploads,
    files,
)
from djed.store import fairness, inspections, lookup
from djed.toolbox.digest import digest_json

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.service.engine import Engine

__all__ = ["changed", "clone", "new", "request_digest", "retry", "submit"]

_LONGEST_KEY = 255
_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: none is taken for another
_ID_LENGTH = 12


def submit(
    engine: Engine, submissions: Sequence[Submission], *, fresh: bool, key: str | None
) -> Sequence[Inspection]:
    """:meth:`djed.service.interface.Service.submit`."""
    if not submissions:
        raise RequestError("There is no request.")
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
        raise RequestError(f"An idempotency key has 1 to {_LONGEST_KEY} printable ASCII characters.")
    if fresh:
        submissions = [replace(item, request=replace(item.request, reuse="nothing")) for item in submissions]
    for submission in submissions:
        _take_in(engine, submission)
    return _accept(engine, submissions, "inspection.submit", key=key)


def retry(engine: Engine, reference: str) -> Inspection:
    """:meth:`djed.service.interface.Service.retry`."""
    before = engine.get(reference)
    again = Submission(request=before.request, origin=before.origin)
    _take_in(engine, again)
    return _accept(engine, [again], "inspection.retry", shown=_digests(before.request))[0]


def clone(engine: Engine, reference: str, changes: Mapping[str, Any]) -> Inspection:
    """:meth:`djed.service.interface.Service.clone`."""
    from djed.intake import read_mapping

    before = engine.get(reference)
    submission = read_mapping(changed(before.request, changes), config=engine.config)
    _take_in(engine, submission)
    return _accept(engine, [submission], "inspection.clone", shown=_digests(before.request))[0]


def _take_in(engine: Engine, submission: Submission) -> None:
    """Check what can be checked without the database, and keep its contents."""
    check_hardware(submission.request)
    check_base(engine, submission)
    for content in submission.contents.values():
        engine.store.blobs.put(content)
    for _, file in files(submission.request):
        if file.digest:
            engine.store.blobs.path(file.digest)  # raises where it is gone


def _digests(request: Request) -> set[str]:
    return {file.digest for _, file in files(request) if file.digest}


def _accept(
    engine: Engine,
    submissions: Sequence[Submission],
    action: str,
    *,
    key: str | None = None,
    shown: Collection[str] = (),
) -> Sequence[Inspection]:
    """Add them in one transaction with all that is checked against the store. ``shown``: contents that the namespace has shown before."""
    now = time.time()
    requests = [item.request for item in submissions]
    digests = [request_digest(request) for request in requests]
    given = {*shown, *(digest for item in submissions for digest in item.contents)}
    with engine.store.change() as connection:
        fresh = [
            new(connection, item, namespace=engine.namespace, digest=digest, now=now)
            for item, digest in zip(submissions, digests, strict=True)
        ]
        if (
            key is not None
            and (before := _known(engine, connection, key, fresh=fresh, digests=digests)) is not None
        ):
            return before
        check_uploads(engine, connection, requests, given)
        check_secrets(connection, engine.namespace, requests)
        if any(request.priority > 0 for request in requests):
            check_priority(requests, fairness.highest_priority(connection, engine.namespace))
        inspections.add(connection, fresh, digests=digests, cost=fairness.cost(requests))
        for item in fresh:
            engine.record(connection, action, item.id)
    return fresh


def _known(
    engine: Engine,
    connection: sa.Connection,
    key: str,
    *,
    fresh: Sequence[Inspection],
    digests: Sequence[str],
) -> Sequence[Inspection] | None:
    """The inspections for which the idempotency key stands already."""
    from djed.store import answers

    asked = digest_json([digests, [item.name for item in fresh]])
    ids = [item.id for item in fresh]
    now = fresh[0].created_at
    before = answers.take_key(connection, engine.namespace, key, digest=asked, ids=ids, now=now)
    return None if before is None else [lookup.get(connection, id_) for id_ in before]


def new(
    connection: sa.Connection, submission: Submission, *, namespace: str, digest: str, now: float
) -> Inspection:
    """A queued inspection, or one that an identical earlier one answers (``reuse: result``)."""
    request, origin = submission.request, submission.origin
    fresh = Inspection(
        id="".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH)),
        name=request.name,
        state="queued",
        request=request,
        created_at=now,
        updated_at=now,
        group=str(inspections.lead_of(now)),
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
