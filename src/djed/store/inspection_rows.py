"""Rows of inspections as nouns, and nouns as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from djed.model.codec import decode
from djed.model.inspection import FINAL, Inspection, Plan
from djed.model.lock import Lock
from djed.model.observation import Failure, Statistics
from djed.model.request import Request
from djed.model.summary import Summary
from djed.store.rows import dump, load, load_json
from djed.store.schema import inspections as table

__all__ = ["SUMMARY", "columns", "fresh", "noun", "summary"]

_JSON_FIELDS = ("plan", "lock", "failure", "statistics", "refusals", "packaged")
_PLAIN_FIELDS = ("state", "outcome", "artifact", "reused", "node", "metric", "place")

SUMMARY = tuple(
    table.c[name]
    for name in (
        "seq", "id", "name", "state", "outcome", "created_at", "updated_at", "node", "metric", "failure", "repeats",
    )
)  # fmt: skip
"""The columns of a line of the list."""


def fresh(inspection: Inspection, digest: str, *, lead: int) -> dict[str, Any]:
    """The row of a new inspection but for its rank, due at once unless it is final already (answered by an earlier result)."""
    return {
        "id": inspection.id,
        "name": inspection.name,
        "namespace": inspection.namespace,
        "lead": lead,
        "priority": inspection.request.priority,
        "request": dump(inspection.request),
        "request_digest": digest,
        "repeats": inspection.request.run.repeat if inspection.request.run else 0,
        "created_at": inspection.created_at,
        "updated_at": inspection.updated_at,
        "due": None if inspection.state in FINAL else 0.0,
        "origin": dump(inspection.origin),
        **columns({name: getattr(inspection, name, None) for name in (*_PLAIN_FIELDS, *_JSON_FIELDS)}),
        **_in_short(inspection),
    }


def _in_short(inspection: Inspection) -> dict[str, Any]:
    """What lists show of an inspection that was answered by an earlier result; of others it is not known yet."""
    plan, statistics = inspection.plan, inspection.statistics
    return {
        "node": plan and (plan.run_node or plan.build_node),
        "metric": statistics[0].brief if statistics else None,
    }


def columns(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Column values of changed fields. An unknown field is a bug and raises."""
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name in _JSON_FIELDS:
            values[name] = dump(value or None)
        elif name in _PLAIN_FIELDS:
            values[name] = value
        else:
            raise KeyError(name)
    return values


def noun(row: Any) -> Inspection:
    """The inspection of a whole row."""
    request = load(Request, row.request)
    assert request is not None
    return Inspection(
        id=row.id,
        name=row.name,
        state=row.state,
        request=request,
        created_at=row.created_at,
        updated_at=row.updated_at,
        outcome=row.outcome,
        failure=load(Failure, row.failure),
        plan=load(Plan, row.plan),
        lock=load(Lock, row.lock),
        artifact=row.artifact,
        packaged=load_json(row.packaged) or {},
        statistics=tuple(decode(Statistics, item) for item in load_json(row.statistics) or ()),
        refusals=tuple(load_json(row.refusals) or ()),
        reused=row.reused,
        group=str(row.lead),
        cancel_requested=bool(row.cancel_requested),
        token=row.token,
        namespace=row.namespace,
        origin=load_json(row.origin),
    )


def summary(row: Any) -> Summary:
    """The line of a list."""
    failure = load_json(row.failure)
    return Summary(
        id=row.id,
        name=row.name,
        state=row.state,
        outcome=row.outcome,
        created_at=row.created_at,
        updated_at=row.updated_at,
        seconds=row.updated_at - row.created_at if row.state in FINAL else None,
        node=row.node,
        metric=row.metric,
        failure=failure and failure["kind"],
        repeats=row.repeats,
    )
