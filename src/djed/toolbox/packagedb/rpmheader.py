"""One header of an RPM database: an index of tags and the data that it points into (rpm's ``docs/manual/format_header.md``).

Standard library only: it is used inside jobs too.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

__all__ = ["Header", "HeaderError"]

_STRING, _ARRAY, _I18N = 6, 8, 9
_NUMBERS = {2: "B", 3: "H", 4: "I", 5: "Q"}
_INDEX = struct.Struct(">4I")
_MAX_TAGS = 10_000
_MAX_DATA = 256 * 2**20


class HeaderError(ValueError):
    """Bytes that are no header."""


class Header:
    """The tags of one header; a value is decoded when it is asked for."""

    __slots__ = ("_data", "_tags")

    def __init__(self, blob: bytes) -> None:
        """Raises ``HeaderError``."""
        if len(blob) < 8:
            raise HeaderError("it is shorter than its beginning")
        count, size = struct.unpack_from(">2I", blob)
        start = 8 + count * _INDEX.size
        if count > _MAX_TAGS or size > _MAX_DATA or len(blob) < start + size:
            raise HeaderError("it is shorter than it says")
        self._data = memoryview(blob)[start : start + size]
        self._tags: Mapping[int, tuple[int, int, int]] = {
            tag: (kind, offset, number)
            for tag, kind, offset, number in _INDEX.iter_unpack(memoryview(blob)[8:start])
        }

    def text(self, tag: int) -> str | None:
        """A string; ``None`` where there is none."""
        values = self.texts(tag)
        return values[0] if values else None

    def texts(self, tag: int) -> list[str]:
        """The strings of a list, or the one string; those that the data does not hold are missing."""
        kind, offset, number = self._tags.get(tag, (0, 0, 0))
        if kind not in {_STRING, _ARRAY, _I18N} or not 0 <= offset < len(self._data):
            return []
        wanted = 1 if kind == _STRING else number
        # Each has at least the byte that ends it.
        parts = bytes(self._data[offset:]).split(b"\0", min(wanted, len(self._data) - offset))
        return [part.decode(errors="replace") for part in parts[:-1][:wanted]]

    def numbers(self, tag: int) -> list[int]:
        """The numbers of a list; none where the data does not hold them all."""
        kind, offset, number = self._tags.get(tag, (0, 0, 0))
        letter = _NUMBERS.get(kind)
        if letter is None or number > len(self._data):
            return []
        try:
            return list(struct.unpack_from(f">{number}{letter}", self._data, offset))
        except struct.error:
            return []

    def number(self, tag: int) -> int | None:
        """The first number; ``None`` where there is none."""
        values = self.numbers(tag)
        return values[0] if values else None
