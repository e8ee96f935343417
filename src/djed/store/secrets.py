"""The secrets of namespaces: sealed values by name. What seals them is :class:`djed.toolbox.seal.Seal`."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import sqlalchemy as sa

from djed.config import Config
from djed.errors import ConflictError, Fault, NotFoundError, RequestError
from djed.model.secret import SECRET_NAME, SECRET_SIZE, SECRETS_PER_NAMESPACE
from djed.store.database import exclusive
from djed.store.service_schema import secrets
from djed.toolbox.seal import Seal

__all__ = ["check", "context", "get", "names", "put", "remove", "seal_of", "unknown"]


def seal_of(config: Config) -> Seal:
    """What seals the secrets of a store with these settings."""
    return Seal(config.secrets_key or config.data / "secrets.key")


def context(namespace: str, name: str) -> str:
    """What a secret is sealed for. A namespace has no slash in its name."""
    return f"the secret {namespace}/{name}"


def check(name: str, value: bytes) -> None:
    """See that a secret can be kept. Raises ``RequestError``."""
    if not SECRET_NAME.fullmatch(name):
        raise RequestError(
            f"{name[:80]!r} is not the name of a secret.",
            hint="It has 1 to 63 letters, digits, underscores, dots and hyphens, and begins with a letter or an underscore.",
        )
    if not 1 <= len(value) <= SECRET_SIZE:
        raise RequestError(
            f"The value of the secret {name} has {len(value):,} bytes; it may have 1 to {SECRET_SIZE:,}."
        )


def names(connection: sa.Connection, namespace: str) -> Sequence[str]:
    """The names in alphabetical order."""
    query = sa.select(secrets.c.name).where(secrets.c.namespace == namespace).order_by(secrets.c.name)
    return connection.execute(query).scalars().all()


def put(connection: sa.Connection, namespace: str, name: str, *, sealed: str, now: float) -> None:
    """Keep a sealed secret in the place of an earlier one. Raises ``ConflictError`` where the namespace holds too many."""
    exclusive(connection, f"secrets of {namespace}")  # two at once could pass the bound together
    connection.execute(sa.delete(secrets).where(*_one(namespace, name)))
    count = sa.select(sa.func.count()).select_from(secrets).where(secrets.c.namespace == namespace)
    if connection.execute(count).scalar_one() >= SECRETS_PER_NAMESPACE:
        raise ConflictError(
            f"The namespace {namespace} holds {SECRETS_PER_NAMESPACE} secrets already.",
            hint="Remove one that is not used any more.",
        )
    connection.execute(
        sa.insert(secrets).values(namespace=namespace, name=name, sealed=sealed, created_at=now)
    )


def get(connection: sa.Connection, namespace: str, name: str) -> str | None:
    """The sealed value."""
    return connection.execute(sa.select(secrets.c.sealed).where(*_one(namespace, name))).scalar_one_or_none()


def remove(connection: sa.Connection, namespace: str, name: str) -> None:
    """Forget it. Raises ``NotFoundError``."""
    if not connection.execute(sa.delete(secrets).where(*_one(namespace, name))).rowcount:
        raise NotFoundError(f"There is no secret {name[:80]!r} in the namespace {namespace}.")


def unknown(connection: sa.Connection, namespace: str, wanted: Sequence[str]) -> tuple[Fault, ...]:
    """A fault for each name of ``run.secrets`` that the namespace does not have, with the nearest that it has."""
    if not wanted:
        return ()
    known = names(connection, namespace)
    faults = []
    for number, name in enumerate(wanted):
        if name not in known:
            near = get_close_matches(name, known, 1)
            faults.append(
                Fault(
                    path=f"run.secrets[{number}]",
                    message=f"there is no secret {name!r} in the namespace {namespace}",
                    hint=f"Did you mean {near[0]!r}?" if near else "Store it first.",
                )
            )
    return tuple(faults)


def _one(namespace: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return secrets.c.namespace == namespace, secrets.c.name == name
