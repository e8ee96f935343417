"""The OpenAPI document: what the routes say, and what is so with all of them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from djed.api import shapes
from djed.api.problems import MEDIA_TYPE
from djed.intake.schema import schema as of_requests

__all__ = ["document"]

_TAGS = {
    "inspections": "Requests, and what came of them.",
    "jobs": "What was executed, what it wrote and what it left.",
    "artifacts": "What builds left behind.",
    "observations": "Facts with their evidence.",
    "nodes": "Where jobs run.",
    "planning": "What would become of a request.",
    "files": "Contents that requests name by their digest.",
    "namespace": "What a namespace holds.",
    "secrets": "What jobs may know and nobody else.",
    "webhooks": "Who is told of events.",
    "administration": "Tokens, namespaces, the audit log, clean-up.",
    "service": "The service itself.",
}
_OURS = "/v1/"
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "What is wrong, where, and what to do (RFC 9457).",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Which error, as `urn:djed:error:not-found`."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "A sentence."},
        "hint": {"type": "string", "description": "What to do about it."},
        "request_id": {"type": "string", "description": "Id of the call, which the server's log has too."},
        "faults": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {
                    "path": {"type": "string", "description": "As `run.resources.memory`; empty: the whole."},
                    "message": {"type": "string"},
                    "line": {"type": "integer"},
                    "hint": {"type": "string"},
                },
            },
        },
    },
}
_REASONS = {
    "400": "The body or a cursor cannot be read.",
    "401": "There is no token, or it is unknown, expired or revoked.",
    "403": "The token does not allow it.",
    "404": "There is no such thing in the namespace.",
    "408": "No part of the body came in time.",
    "409": "That is not possible in this state.",
    "413": "The body is too large.",
    "415": "The body is of a type that is not understood.",
    "422": "What is asked is wrong; `faults` say where.",
    "429": "There were too many calls.",
    "5XX": "It cannot be done now; `Retry-After` says when to try again.",
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the application."""
    found = deepcopy(app.openapi())
    found["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    schemas = found["components"]["schemas"]
    shapes.complete(schemas)
    _say_requests_as_intake(schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    for path, operation in _operations(found):
        if path.startswith(_OURS):
            _add_problems(path, operation)
    return found


def _operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in found["paths"].items():
        for operation in item.values():
            yield path, operation


def _say_requests_as_intake(schemas: dict[str, Any]) -> None:
    """A request is the same in a file, in a body and in an answer; so is its schema."""
    request = of_requests()
    request.pop("$schema")
    parts = {**request.pop("$defs"), "Request": {**request, "title": "Request"}}
    schemas.update({name: _moved(part) for name, part in parts.items()})


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


def _add_problems(path: str, operation: dict[str, Any]) -> None:
    """The errors that an operation can end with."""
    codes = {"429", "5XX"}
    if operation.get("security") != []:
        codes |= {"401", "403"}
    if "{" in path:
        codes |= {"404", "409"}  # by the beginning of an id that several have
    if "requestBody" in operation:
        codes |= {"400", "404", "408", "409", "413", "415", "422"}
    if operation.get("parameters"):
        codes |= {"400", "404", "409", "422"}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses = operation["responses"]
    if "422" in responses and "422" not in codes:
        del responses["422"]
    for code in sorted(codes):
        responses[code] = {"description": _REASONS[code], "content": content}
    if "416" in responses:
        responses["416"]["content"] = content
