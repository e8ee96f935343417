"""JSON columns: nouns to text and back."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from djed.model.codec import decode, encode

__all__ = ["dump", "load", "load_json"]

T = TypeVar("T")


def dump(value: Any) -> str | None:
    """Text of a noun or a plain JSON value; ``None`` stays ``None``."""
    return None if value is None else json.dumps(encode(value), separators=(",", ":"), ensure_ascii=False)


def load_json(text: str | None) -> Any:
    """The plain JSON value of a column."""
    return None if text is None else json.loads(text)


def load(kind: type[T], text: str | None) -> T | None:
    """The noun of a column."""
    return None if text is None else decode(kind, json.loads(text))
