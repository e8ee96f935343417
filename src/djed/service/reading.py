"""What the HTTP API reads more often or otherwise than by the engine's own methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from djed.errors import NotFoundError
from djed.store import documents, job_records

if TYPE_CHECKING:
    from djed.model.inspection import JobRecord
    from djed.service.engine import Engine
    from djed.store.documents import Document, Version

__all__ = ["document", "job", "version"]


def document(engine: Engine, reference: str) -> Document:
    """One inspection as JSON, without the nouns in between. Raises ``NotFoundError``, ``ConflictError``."""
    with engine.store.database.read() as connection:
        return documents.document(connection, reference, namespace=engine.namespace)


def version(engine: Engine, reference: str) -> Version:
    """What tells one state of an inspection from another, and its id. Raises ``NotFoundError``, ``ConflictError``."""
    with engine.store.database.read() as connection:
        return documents.version(connection, reference, namespace=engine.namespace)


def job(engine: Engine, id_: str) -> JobRecord:
    """A job by its id, with what it is for one of the inspections that use it. Raises ``NotFoundError``."""
    with engine.store.database.read() as connection:
        for inspection, namespace, role in job_records.roles(connection, id_):
            if namespace == engine.namespace:
                found = job_records.of_inspection(connection, [inspection], with_results=True)[inspection]
                return next(item for item in found if item.id == id_ and item.role == role)
    raise NotFoundError(f"There is no job {id_!r}.")
