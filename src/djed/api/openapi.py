"""The OpenAPI document: what the routes say, and what is so with all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from djed import __version__
from djed.api import shapes
from djed.api.auth import NEEDED
from djed.api.problems import MEDIA_TYPE
from djed.model.principal import Scope

__all__ = ["document", "reference"]

_DESCRIPTION = """\
Submit requests, follow what comes of them, and ask for what was found. Times are Unix times in seconds, sizes are bytes, durations are
seconds. In answers a key that holds its default may be left out, and new keys may be added. Every error is a problem (RFC 9457).
"""

_PROBLEMS = {
    "400": "The body, a cursor or the head of the call cannot be read.",
    "401": "There is no token, or it is unknown, expired or revoked.",
    "403": "The token's scope does not allow it.",
    "404": "There is no such thing in the token's namespace.",
    "405": "The path does not take this method; `Allow` says which it takes.",
    "408": "The call did not come in time.",
    "409": "Not possible in this state.",
    "413": "The body is too large.",
    "415": "The type of the body is not understood.",
    "422": "The request is wrong; `faults` has every fault with its path.",
    "429": "Too many calls; `Retry-After` says when to try again.",
    "431": "The head of the call is too large.",
    "500": "The server failed.",
    "502": "A target or a foreign server failed.",
    "503": "The server, its store or a part of it cannot serve now; `Retry-After` says when to try again.",
    "507": "There is no space left.",
}
"""What may go wrong with any call."""

_TAGS = {
    "inspections": "Requests, and what came of them.",
    "jobs": "What was executed, what it wrote and what it left.",
    "artifacts": "What builds left behind.",
    "observations": "Facts with their evidence.",
    "streams": "What happens, as it happens.",
    "nodes": "Where jobs run.",
    "planning": "What would become of a request.",
    "files": "Contents that requests name by their digest.",
    "namespace": "What a namespace holds.",
    "secrets": "What jobs may know and nobody else.",
    "webhooks": "Who is told of events.",
    "administration": "Tokens, namespaces, the audit log, clean-up.",
    "service": "The service itself.",
}

_PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong, as RFC 9457 has it.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "`urn:djed:error:` and the kind of error."},
        "title": {"type": "string", "description": "The kind of error in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong, in a sentence."},
        "hint": {"type": "string", "description": "What to do about it."},
        "faults": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
        "request_id": {"type": "string", "description": "Id of the call, which is in the server's log."},
    },
}
_FAULT_SCHEMA: dict[str, Any] = {
    "title": "Fault",
    "description": "One thing that is wrong in a request.",
    "type": "object",
    "required": ["path", "message"],
    "properties": {
        "path": {"type": "string", "description": "Where, as `run.resources.memory`; empty for the whole."},
        "message": {"type": "string"},
        "line": {"type": "integer", "description": "Line of the body, from 1."},
        "hint": {"type": "string"},
    },
}
_OF_FRAMEWORK = ("HTTPValidationError", "ValidationError")
_METHODS = frozenset({"get", "put", "post", "delete", "patch", "head"})


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    found = get_openapi(
        title="Djed",
        version=__version__,
        summary="Inspections of software stacks",
        description=_DESCRIPTION,
        routes=routes,
    )
    known = {
        (route.path_format, method.lower()): route
        for route in routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    for path, method, operation in _operations(found):
        route = known[path, method]
        # Module and function (inspections_list), so that topics need not know each other's names.
        operation["operationId"] = f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"
        if (scope := _scope(route)) is not None:
            operation["x-scope"] = scope
        responses = operation.setdefault("responses", {})
        for status in _PROBLEMS:
            # What the framework says of 422 is not what we answer.
            if status == "422" or status not in responses:
                responses[status] = {"$ref": f"#/components/responses/{status}"}
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for name in _OF_FRAMEWORK:
        schemas.pop(name, None)
    shapes.complete(schemas)
    schemas |= {"Problem": _PROBLEM_SCHEMA, "Fault": _FAULT_SCHEMA}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found["components"]["responses"] = {
        status: {"description": text, "content": content} for status, text in _PROBLEMS.items()
    }
    found["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token: `djed token create NAME`."}
    }
    found["security"] = [{"token": []}]
    found["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    return found


def _scope(route: APIRoute) -> Scope | None:
    """What a token must allow; ``None`` where none is needed."""
    return next((NEEDED[part.call] for part in route.dependant.dependencies if part.call in NEEDED), None)


def _operations(found: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in found.get("paths", {}).items():
        for method, operation in item.items():
            if method in _METHODS:
                yield path, method, operation


def reference() -> str:
    """The tables of calls of docs/reference/api.md: a section a topic, in the order of the document."""
    from djed.api.app import routes

    topics: dict[str, list[str]] = {}
    for path, method, operation in _operations(document(routes())):
        topics.setdefault(operation.get("tags", ["service"])[0], []).append(_row(path, method, operation))
    head = "| call | meaning | parameters | scope |\n| --- | --- | --- | --- |"
    return "\n\n".join(
        "\n".join([f"### {topic.capitalize()}", "", head, *rows]) for topic, rows in topics.items()
    )


def _row(path: str, method: str, operation: Mapping[str, Any]) -> str:
    text = str(operation.get("description") or operation.get("summary", "")).split("\n\n")[0]
    cells = (
        f"`{method.upper()} {path}`",
        " ".join(text.split()).replace("|", "&#124;"),
        _parameters(operation),
        f"`{operation['x-scope']}`" if "x-scope" in operation else "",
    )
    return f"| {' | '.join(cells)} |"


def _parameters(operation: Mapping[str, Any]) -> str:
    """Those of the query and the headers; the path shows its own."""
    named = [item for item in operation.get("parameters", []) if item["in"] != "path"]
    return ", ".join(f"`{item['name']}`" for item in named)
