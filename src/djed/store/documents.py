"""One inspection as JSON, made of the row's own texts: no noun is decoded and encoded for a reader who wants the JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from djed.model.inspection import FINAL
from djed.store import lookup
from djed.store.schema import inspections as table

__all__ = ["Document", "Version", "document", "version"]

_PLAIN = (
    "id", "name", "state", "outcome", "created_at", "updated_at", "artifact", "reused", "cancel_requested", "namespace", "lead", "token",
)  # fmt: skip
_TEXTS = {
    "request": "null",
    "failure": "null",
    "plan": "null",
    "lock": "null",
    "statistics": "[]",
    "refusals": "[]",
    "packaged": "{}",
    "origin": "null",
}
"""Columns that are JSON already, each with what stands for an empty one."""
_VERSION = sa.select(
    *(table.c[name] for name in ("id", "namespace", "state", "updated_at", "token", "cancel_requested"))
).where(table.c.id == sa.bindparam("id"))
_DOCUMENT = sa.select(*(table.c[name] for name in (*_PLAIN, *_TEXTS))).where(table.c.id == sa.bindparam("id"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """What tells one state of an inspection from another."""

    id: str
    token: int
    updated_at: float
    cancel_requested: bool
    final: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """An inspection as it is answered."""

    version: Version
    body: bytes
    """JSON: all fields of :class:`djed.model.inspection.Inspection` but ``token``, and ``final``."""


def version(connection: sa.Connection, reference: str, *, namespace: str) -> Version:
    """The version of an inspection of the namespace (see :func:`djed.store.lookup.find`). Raises ``NotFoundError``, ``ConflictError``."""
    return _version(_row(connection, _VERSION, reference, namespace))


def document(connection: sa.Connection, reference: str, *, namespace: str) -> Document:
    """The JSON of an inspection of the namespace. Raises ``NotFoundError``, ``ConflictError``."""
    row = _row(connection, _DOCUMENT, reference, namespace)
    head = json.dumps(
        {
            "id": row.id,
            "name": row.name,
            "state": row.state,
            "outcome": row.outcome,
            "final": row.state in FINAL,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "artifact": row.artifact,
            "reused": row.reused,
            "group": str(row.lead),
            "cancel_requested": bool(row.cancel_requested),
            "namespace": row.namespace,
        },
        ensure_ascii=False,
    )
    texts = ",".join(f'"{name}":{getattr(row, name) or empty}' for name, empty in _TEXTS.items())
    return Document(version=_version(row), body=f"{head[:-1]},{texts}}}".encode())


def _row(connection: sa.Connection, query: Any, reference: str, namespace: str) -> Any:
    """Most ask by the whole id: that is one look. A name or the beginning of an id is looked up first."""
    row = None if "\0" in reference else connection.execute(query, {"id": reference}).one_or_none()
    if row is None or row.namespace != namespace:
        id_ = lookup.find(connection, reference, namespace=namespace)
        row = connection.execute(query, {"id": id_}).one()
    return row


def _version(row: Any) -> Version:
    return Version(
        id=row.id,
        token=row.token,
        updated_at=row.updated_at,
        cancel_requested=bool(row.cancel_requested),
        final=row.state in FINAL,
    )
