"""JSON to plain values, with lines on demand. Duplicate keys and numbers that JSON lacks are refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from djed.intake.faults import Place, UnreadableError, quote

__all__ = ["parse"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def parse(text: str) -> tuple[Any, Callable[[], Mapping[Place, int]]]:
    """The value of ``text`` and a function to find the lines of its places. Raises ``UnreadableError``, or ``RecursionError``."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"this is not JSON: {error.msg}", line=error.lineno) from error
    except UnreadableError:
        raise
    except ValueError as error:
        raise UnreadableError("a number has too many digits") from error
    return value, lambda: _lines(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise UnreadableError(f"the key {quote(twice)} is there twice")
    return found


def _constant(word: str) -> NoReturn:
    raise UnreadableError(f"{word} is not a number of JSON")


def _lines(text: str) -> dict[Place, int]:
    """Line of each key and item of valid JSON: one pass over its tokens."""
    found: dict[Place, int] = {}
    place: list[str | int] = []
    kinds: list[str] = []
    line, end, awaits_key = 1, 0, False
    for token in _TOKEN.finditer(text):
        word = token[0]
        line += text.count("\n", end, token.start())
        end = token.start()
        if word == ",":
            awaits_key = kinds[-1] == "{"
            if not awaits_key:
                place[-1] = int(place[-1]) + 1
        elif word in "}]":
            kinds.pop()
            place.pop()
            awaits_key = False
        elif word != ":":
            if awaits_key:
                place[-1] = json.loads(word)
            found.setdefault(tuple(place), line)
            awaits_key = word == "{"
            if word in "{[":
                kinds.append(word)
                place.append(0)
    return found
