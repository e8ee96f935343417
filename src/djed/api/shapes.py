"""Nouns as the API answers them: every field of the noun is there, whatever its value, and what is in it is as in files.

So a program need not ask whether a key is there, and :func:`djed.model.codec.decode` gives the noun back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from djed.intake import schema as schema_of_requests
from djed.model.access import AuditEntry, Namespace, Token, Usage
from djed.model.artifact import Artifact
from djed.model.codec import encode
from djed.model.difference import Difference
from djed.model.hardware import Node
from djed.model.inspection import FINAL, AttemptRecord, Event, Inspection, JobRecord
from djed.model.preview import Preview
from djed.model.principal import Principal
from djed.model.summary import Collected, Page, StoredArtifact, StoredObservation, Summary
from djed.model.webhook import Delivery, Webhook

__all__ = ["complete", "page", "shape", "tag"]

_WHOLE: tuple[type, ...] = (
    Artifact, AttemptRecord, AuditEntry, Collected, Delivery, Difference, Event, Inspection, JobRecord, Namespace, Node, Preview, Principal,
    StoredArtifact, StoredObservation, Summary, Token, Usage, Webhook,
)  # fmt: skip
"""What is answered whole. (A lock is not: it stands within inspections too, where defaults are left out.)"""

_HIDDEN: Mapping[type, frozenset[str]] = {Inspection: frozenset({"token"})}
"""Fields that are nobody's business."""

_FINAL_SCHEMA = {"type": "boolean", "title": "Final", "description": "Whether it will not change any more."}
_POSITION_SCHEMA = {
    "type": "string",
    "title": "Position",
    "description": "Its place in the order of events: what comes later is read `after` it.",
}
_MORE: Mapping[type, tuple[str, Callable[[Any], Any], Mapping[str, Any]]] = {
    Inspection: ("final", lambda item: item.state in FINAL, _FINAL_SCHEMA),
    Summary: ("final", lambda item: item.state in FINAL, _FINAL_SCHEMA),
    Event: ("position", lambda item: item.position, _POSITION_SCHEMA),
}
"""What is told beside the fields: key, value, schema."""


def shape(noun: Any) -> dict[str, Any]:
    """The JSON of a noun with all its keys."""
    kind = type(noun)
    hidden = _HIDDEN.get(kind, frozenset())
    found = {
        item.name: encode(getattr(noun, item.name))
        for item in dataclasses.fields(noun)
        if item.name not in hidden
    }
    if kind in _MORE:
        key, value, _ = _MORE[kind]
        found[key] = value(noun)
    return found


def page(found: Page[Any] | Sequence[Any]) -> dict[str, Any]:
    """A list of nouns; ``next`` is ``null`` on its last page, and where it has but one."""
    items, cursor = (found.items, found.next) if isinstance(found, Page) else (found, None)
    return {"items": [shape(item) for item in items], "next": cursor}


def tag(*, id_: str, token: int, updated_at: float, cancel_requested: bool) -> str:
    """The ETag of an inspection, without quotes: another one after each change that can be seen."""
    return f"{id_}.{token}.{round(updated_at * 1e6):x}.{cancel_requested:d}"


def complete(schemas: dict[str, Any]) -> None:
    """Make the schemas of an OpenAPI document say what is so: which keys :func:`shape` always gives and which never.

    And a request is the same in a file, in a body and in an answer; so its schema is intake's.
    """
    schemas |= _of_requests()
    for kind in _present(schemas):
        properties = schemas[kind.__name__]["properties"]
        for name in _HIDDEN.get(kind, ()):
            properties.pop(name, None)
        if kind in _MORE:
            key, _, schema = _MORE[kind]
            properties[key] = dict(schema)
        schemas[kind.__name__]["required"] = list(properties)


def _of_requests() -> dict[str, Any]:
    request = schema_of_requests()
    del request["$schema"]
    parts = {**request.pop("$defs"), "Request": {**request, "title": "Request"}}
    return {name: _moved(part) for name, part in parts.items()}


def _moved(value: Any) -> Any:
    """The same schema with its references to the place of parts in the document."""
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(item)
        for key, item in value.items()
    }


def _present(schemas: Mapping[str, Any]) -> Iterable[type]:
    return (kind for kind in _WHOLE if kind.__name__ in schemas)
