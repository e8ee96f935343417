"""What a parser of a foreign format is given; it returns a part of ``environment`` as plain values, to be checked like a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from djed.intake.faults import Complain
from djed.intake.shape import Check

__all__ = ["Fragment", "Source", "mappings", "take", "texts"]

Fragment = dict[str, Any]
"""Keys and values of :class:`djed.model.request.Environment`, unchecked."""

T = TypeVar("T", str, dict[str, Any], list[Any])
_KINDS = {str: "text", dict: "a table", list: "a list"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file of requirements."""

    name: str
    """Its path relative to the request."""
    text: str
    complain: Complain
    open: Callable[[str], Source]
    """Another file, by its path relative to the request. Raises ``WrongValueError``."""
    check: Check
    """The check of one requirement."""
    extras: tuple[str, ...] = ()
    """Extras that the request picks from it."""


def take(table: Mapping[str, Any], key: str, kind: type[T], complain: Complain) -> T:
    """The value of ``key``, empty where it is not there or not of that kind."""
    value = table.get(key)
    if value is not None and not isinstance(value, kind):
        complain(f"{key} must be {_KINDS[kind]}")
    return value if isinstance(value, kind) else kind()


def texts(table: Mapping[str, Any], key: str, complain: Complain) -> list[str]:
    """The list of texts at ``key``."""
    items: list[Any] = take(table, key, list, complain)
    if not all(isinstance(item, str) for item in items):
        complain(f"{key} must be a list of texts")
    return [item for item in items if isinstance(item, str)]


def mappings(table: Mapping[str, Any], key: str, complain: Complain) -> list[dict[str, Any]]:
    """The list of tables at ``key``."""
    items: list[Any] = take(table, key, list, complain)
    if not all(isinstance(item, dict) for item in items):
        complain(f"{key} must be a list of tables")
    return [item for item in items if isinstance(item, dict)]
