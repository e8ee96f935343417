"""A request file to plain values and the line of each. Pure; hostile input is refused with one sentence."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from djed.intake.faults import DEPTH, Noted, Place, UnreadableError, itself, quote, stop

__all__ = ["ENDINGS", "Document", "decode", "parse", "tidy"]

ENDINGS = (".yaml", ".yml", ".json", ".toml")
"""Endings of request files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A parsed request file."""

    name: str
    """File name, for messages."""
    data: Mapping[str, Any]
    lines: Callable[[], Mapping[Place, int]] = dict
    """Line of each place, as far as known; computed when something is wrong."""
    origin: Callable[[Place], Place] = itself
    """Where the file says what stands at a place of ``data``."""
    found: tuple[Noted, ...] = ()
    """What is wrong as far as it was seen in making the document."""


def parse(name: str, content: bytes) -> Document:
    """The document in ``content``, by the ending of ``name``. Raises ``RequestError`` with one sentence."""
    text = decode(name, content)
    if not text.strip():
        raise stop(name, "the file is empty", hint="`djed schema` shows what a request can say.")
    try:
        data, lines = _parser(name)(text)
        if data is None:
            raise stop(name, "the file says nothing", hint="`djed schema` shows what a request can say.")
        if not isinstance(data, dict):
            raise stop(name, f"a request is a mapping of keys, not {quote(data)}")
        # What editors write into a JSON file to find its schema says nothing about the request.
        data.pop("$schema", None)
        return Document(name=name, data=tidy(data), lines=lines)
    except RecursionError as error:
        raise stop(name, f"the file is nested deeper than {DEPTH} levels") from error
    except UnreadableError as error:
        raise stop(name, str(error), line=error.line) from error


def decode(name: str, content: bytes) -> str:
    """The text of a file: UTF-8 without NUL. Raises ``RequestError``."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise stop(name, "the file is not UTF-8 text", line=line) from error
    if "\0" in text:
        raise stop(name, "the file holds a NUL character", line=text.count("\n", 0, text.index("\0")) + 1)
    return text


def tidy(value: Any, depth: int = 0) -> Any:
    """The same value of plain JSON types only; a date becomes text. Raises ``UnreadableError``."""
    if depth > DEPTH:
        raise UnreadableError(f"the request is nested deeper than {DEPTH} levels")
    if isinstance(value, Mapping):
        return {_text(key): tidy(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [tidy(item, depth + 1) for item in value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UnreadableError(f"{value} is not a number that a request can hold")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    raise UnreadableError(f"a {type(value).__name__} has no place in a request")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnreadableError(f"{quote(value)} is a key but not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        # JSON can spell half of a surrogate pair, which no file or variable can hold.
        raise UnreadableError(f"{quote(value)} is not valid Unicode") from error
    return value


def _parser(name: str) -> Callable[[str], tuple[Any, Callable[[], Mapping[Place, int]]]]:
    """The parser for the ending of ``name``, imported only when needed."""
    if name.endswith(".json"):
        from djed.intake import jsonfile

        return jsonfile.parse
    if name.endswith(".toml"):
        from djed.intake import tomlfile

        return tomlfile.parse
    from djed.intake import yamlfile

    return yamlfile.parse
