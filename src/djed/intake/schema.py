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

    return {"$schema": _DIALECT, **TypeAdapter(Request).json_schema(mode="validation")}
