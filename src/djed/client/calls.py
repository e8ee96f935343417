"""What all groups of calls build on: nouns from answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, TypeVar

from djed.client.connection import Call, Connection
from djed.errors import ServerError
from djed.model.codec import decode
from djed.model.quantity import format_size
from djed.model.summary import Page

__all__ = ["Calls"]

T = TypeVar("T")

_MOST = 64 * 2**30
"""Bytes of a file that a server sends."""


class Calls:
    """Calls of one server. Their answers become nouns; what is none raises ``ServerError``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _noun(self, kind: type[T], call: Call) -> T:
        return self._decode(kind, self._connection.json(call))

    def _nouns(self, kind: type[T], call: Call) -> tuple[T, ...]:
        return tuple(self._page(kind, call).items)

    def _page(self, kind: type[T], call: Call) -> Page[T]:
        told = self._object(call)
        items = told.get("items")
        if not isinstance(items, list):
            raise self._connection.nonsense()
        cursor = told.get("next")
        return Page(
            items=tuple(self._decode(kind, item) for item in items),
            next=None if cursor is None else str(cursor),
        )

    def _object(self, call: Call) -> Mapping[str, Any]:
        told = self._connection.json(call)
        if not isinstance(told, dict):
            raise self._connection.nonsense()
        return told

    def _fetch(self, call: Call, into: BinaryIO) -> None:
        """An answer of any length."""
        with self._connection.stream(call) as response:
            for part in response.iter_bytes():
                into.write(part)
                if into.tell() > _MOST:
                    raise ServerError(f"{self._connection.url} sent more than {format_size(_MOST)}.")

    def _decode(self, kind: type[T], told: Any) -> T:
        try:
            return decode(kind, told)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise self._connection.nonsense() from error
