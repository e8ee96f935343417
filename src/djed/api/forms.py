"""Bodies that are not requests: their shapes for the document and their checks are the same declarations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from djed.api.body import TYPES
from djed.errors import Fault, RequestError
from djed.intake.faults import render
from djed.model.access import Quota, Retention
from djed.model.principal import DEFAULT_NAMESPACE, Scope

__all__ = [
    "GROUP",
    "REQUEST",
    "CleanUp",
    "Group",
    "NewNamespace",
    "NewToken",
    "NewWebhook",
    "described",
    "form",
]

T = TypeVar("T")

_STRICT: dict[str, Any] = {"extra": "forbid", "use_attribute_docstrings": True}
REQUEST: dict[str, Any] = {"$ref": "#/components/schemas/Request"}
"""The schema of a request. It is in the document because an inspection has its request in it."""
_REQUEST = {
    "name": "matmul",
    "environment": {"python": "3.11", "packages": ["numpy==2.1.*"]},
    "run": {"script": {"path": "matmul.py", "content": "import numpy\n"}, "repeat": 5, "timeout": "10m"},
}
GROUP = 1000
"""Most requests of a group."""

Words = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Bytes = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(gt=0, le=1e10)]
EventKind = Literal["cancel", "done", "job", "state"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewToken:
    """A token to be made."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: Words
    """A name for people."""
    namespace: Words = DEFAULT_NAMESPACE
    """What it sees."""
    scope: Scope = "submit"
    """What it may do."""
    ttl: Seconds | None = None
    """Seconds until it expires; `null`: it does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewQuota(Quota):
    """How much a namespace may hold at once; `null`: no bound."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    queued: Count | None = None
    """Inspections in work; others stay queued."""
    running: Count | None = None
    """Active attempts."""
    cpu: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """CPUs of its active attempts."""
    storage: Bytes | None = None
    """Bytes of results and uploads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRetention(Retention):
    """What is kept; `null`: no bound."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    age: Seconds | None = None
    """Seconds since an inspection became final."""
    count: Count | None = None
    """Final inspections."""
    size: Bytes | None = None
    """Bytes of the results of final inspections."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewNamespace:
    """What a namespace may have; what is left out gets its default."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: Words | None = None
    """Its name again, as in the path."""
    created_at: float | None = None
    """Taken along with what was read, and not heeded."""
    weight: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    """Share of the hardware when there is not enough."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 100
    """Highest priority that its requests may ask for."""
    quota: NewQuota = NewQuota()
    """How much of the common hardware it may hold."""
    retention: NewRetention = NewRetention()
    """What of it is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWebhook:
    """An address that is to be told of events."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    url: Annotated[str, Field(min_length=8, max_length=2000, pattern=r"^https?://[!-~]+$")]
    """Where its messages go, by POST."""
    events: Annotated[tuple[EventKind, ...], Field(max_length=100)] = ()
    """Kinds of events; none: all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Requests that belong together: their repeats interleave."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    requests: Annotated[tuple[Mapping[str, Any], ...], Field(min_length=1, max_length=GROUP)]
    """Each as it would be submitted by itself."""
    fresh: bool = False
    """Do all anew, whatever the requests say of reuse."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanUp:
    """What is to be removed beside what nothing needs."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    older_than: Annotated[float, Field(ge=0, le=1e10)] | None = None
    """Seconds since inspections became final; `null`: none of them."""
    dry_run: bool = False
    """Only tell what would go."""


_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "Request": _REQUEST,
    "Group": {"requests": [_REQUEST, {**_REQUEST, "name": "other"}]},
    "Changes": {"run": {"repeat": 20}},
    "CleanUp": {"older_than": 2_592_000, "dry_run": True},
    "NewNamespace": {"weight": 2, "quota": {"cpu": 16}, "retention": {"age": 2_592_000}},
    "NewToken": {"name": "ci", "scope": "submit", "ttl": 2_592_000},
    "NewWebhook": {"url": "https://hooks.example/djed", "events": ["done"]},
}
"""A body of each kind."""

_ADAPTERS: Mapping[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (CleanUp, Group, NewNamespace, NewToken, NewWebhook)
}


def form(kind: type[T], data: Mapping[str, Any]) -> T:
    """The form in a body. Raises ``RequestError`` with every fault."""
    try:
        # As JSON: there a list may be a tuple, and text is no number.
        found: T = _ADAPTERS[kind].validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        faults = tuple(
            Fault(path=render(item["loc"]), message=item["msg"])
            for item in error.errors(include_url=False)[:100]
        )
        raise RequestError(f"{faults[0].path or 'body'}: {faults[0].message}.", faults=faults) from error
    return found


def described(kind: Any) -> dict[str, Any]:
    """What the document says of a body (``openapi_extra``): a form, or a schema as it is, with an example."""
    schema = kind if isinstance(kind, dict) else _inlined(_ADAPTERS[kind].json_schema())
    if kind is Group:
        schema["properties"]["requests"]["items"] = REQUEST  # each is read by intake, not here
    example = _EXAMPLES["Request" if kind is REQUEST else schema["title"]]
    content = {"schema": schema, "examples": {"one": {"value": example}}}
    types = [name for name in TYPES if name != "application/x-yaml"]
    return {"requestBody": {"required": True, "content": dict.fromkeys(types, content)}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose parts are told in place: the document has no other home for them."""
    parts = schema.pop("$defs", {})

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("$ref", "").startswith("#/$defs/"):
            inner = parts[value["$ref"].rpartition("/")[2]]
            return walk({**inner, **{key: item for key, item in value.items() if key != "$ref"}})
        return {key: walk(item) for key, item in value.items()}

    found: dict[str, Any] = walk(schema)
    return found
