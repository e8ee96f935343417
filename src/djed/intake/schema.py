"""The JSON Schema of a request file, so that editors complete it.

Only here is pydantic worth the 180 ms that it takes to start.
"""

from __future__ import annotations

from typing import Any

__all__ = ["schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema (2020-12) of what a request file accepts; its words are the docstrings of the nouns."""
    from pydantic import TypeAdapter

    from djed.model.request import Request

    found: dict[str, Any] = _prose(TypeAdapter(Request).json_schema(mode="validation"))
    return {"$schema": _DIALECT, **found, "title": "Inspection"}


def _prose(value: Any) -> Any:
    """The same schema, its descriptions on one line and in Markdown, which is what editors show."""
    if isinstance(value, list):
        return [_prose(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: " ".join(item.split()).replace("``", "`")
        if key == "description" and isinstance(item, str)
        else _prose(item)
        for key, item in value.items()
    }
