"""Tokens, namespaces and the audit log in the database. Each function takes the connection of the caller's transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from djed.errors import ConflictError, NotFoundError
from djed.model.access import AuditEntry, Namespace, Quota, Retention, Token
from djed.model.principal import Principal
from djed.store.database import upsert
from djed.store.rows import dump, load, load_json
from djed.store.schema import inspections
from djed.store.service_schema import audit, namespaces, secrets, tokens, uploads, webhooks

__all__ = [
    "add_token",
    "any_tokens",
    "find_token",
    "has_namespace",
    "list_audit",
    "list_namespaces",
    "list_tokens",
    "put_namespace",
    "record",
    "remove_namespace",
    "revoke_token",
]


def record(
    connection: sa.Connection,
    principal: Principal,
    action: str,
    *,
    subject: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Keep a record of what somebody did, in the transaction in which it is done."""
    connection.execute(
        sa.insert(audit).values(
            at=time.time(),
            actor=principal.name,
            token=principal.token,
            namespace=principal.namespace,
            action=action,
            subject=subject,
            detail=dump(dict(detail)) if detail else None,
        )
    )


def list_audit(
    connection: sa.Connection, *, limit: int, before: int | None = None, namespace: str | None = None
) -> list[AuditEntry]:
    """Records, newest first, those older than the record ``before``."""
    query = sa.select(audit).order_by(audit.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.seq < before)
    if namespace is not None:
        query = query.where(audit.c.namespace == namespace)
    return [
        AuditEntry(
            seq=row.seq,
            at=row.at,
            actor=row.actor,
            token=row.token,
            namespace=row.namespace,
            action=row.action,
            subject=row.subject,
            detail=load_json(row.detail) or {},
        )
        for row in connection.execute(query)
    ]


def add_token(connection: sa.Connection, token: Token, digest: str) -> None:
    """Keep a token by the digest of its secret."""
    connection.execute(
        sa.insert(tokens).values(
            id=token.id,
            digest=digest,
            name=token.name,
            namespace=token.namespace,
            scope=token.scope,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
    )


def find_token(connection: sa.Connection, id_: str) -> tuple[Token, str] | None:
    """A token and the digest of its secret."""
    row = connection.execute(sa.select(tokens).where(tokens.c.id == id_)).one_or_none()
    return None if row is None else (_token(row), row.digest)


def any_tokens(connection: sa.Connection) -> bool:
    """Whether there ever was a token."""
    return connection.execute(sa.select(tokens.c.id).limit(1)).first() is not None


def list_tokens(connection: sa.Connection) -> list[Token]:
    """All tokens in order of creation."""
    return [
        _token(row)
        for row in connection.execute(sa.select(tokens).order_by(tokens.c.created_at, tokens.c.id))
    ]


def revoke_token(connection: sa.Connection, id_: str, now: float) -> Token:
    """Let a token open nothing any more. Raises ``NotFoundError``; revoking it once more changes nothing."""
    connection.execute(
        sa.update(tokens).where(tokens.c.id == id_, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    found = find_token(connection, id_)
    if found is None:
        raise NotFoundError(f"There is no token {id_!r}.", hint="See them with: djed token list")
    return found[0]


def list_namespaces(connection: sa.Connection) -> list[Namespace]:
    """All namespaces by name."""
    return [
        Namespace(
            name=row.name,
            weight=row.weight,
            priority=row.priority,
            quota=load(Quota, row.quota) or Quota(),
            retention=load(Retention, row.retention) or Retention(),
            created_at=row.created_at,
        )
        for row in connection.execute(sa.select(namespaces).order_by(namespaces.c.name))
    ]


def has_namespace(connection: sa.Connection, name: str) -> bool:
    """Whether there is a namespace of that name."""
    return (
        connection.execute(sa.select(namespaces.c.name).where(namespaces.c.name == name)).first() is not None
    )


def put_namespace(connection: sa.Connection, namespace: Namespace, now: float) -> None:
    """Make a namespace, or give the one of that name these shares, quotas and bounds."""
    values = {
        "weight": namespace.weight,
        "priority": namespace.priority,
        "quota": dump(namespace.quota) if namespace.quota != Quota() else None,
        "retention": dump(namespace.retention),
    }
    if has_namespace(connection, namespace.name):
        connection.execute(sa.update(namespaces).where(namespaces.c.name == namespace.name).values(values))
    else:
        made = {"name": namespace.name, "created_at": namespace.created_at or now, **values}
        upsert(connection, namespaces, ["name"], made)  # somebody else may make it just now


def remove_namespace(connection: sa.Connection, name: str) -> None:
    """Forget an empty namespace and its tokens. Raises ``NotFoundError``, ``ConflictError`` while something is in it."""
    if not has_namespace(connection, name):
        raise NotFoundError(f"There is no namespace {name!r}.", hint="See them with: djed namespace list")
    for table, what in (
        (inspections, "inspections"),
        (uploads, "uploads"),
        (secrets, "secrets"),
        (webhooks, "webhooks"),
    ):
        if connection.execute(sa.select(sa.literal(1)).where(table.c.namespace == name).limit(1)).first():
            raise ConflictError(f"The namespace {name!r} has {what}.", hint="Remove them first.")
    connection.execute(sa.delete(tokens).where(tokens.c.namespace == name))
    connection.execute(sa.delete(namespaces).where(namespaces.c.name == name))


def _token(row: sa.Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        namespace=row.namespace,
        scope=row.scope,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
