"""TOML to plain values, with the lines of its tables and keys on demand (as far as a scan of the text tells)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from djed.intake.faults import Place, UnreadableError

__all__ = ["parse"]

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_STEP = r"(?:[A-Za-z0-9_-]+|\"[^\"\\]*\"|'[^']*')"
_KEY = rf"{_STEP}(?:[ \t]*\.[ \t]*{_STEP}){{0,63}}"
_LINE = re.compile(rf"[ \t]*(?:(\[\[?)[ \t]*({_KEY})[ \t]*\]|({_KEY})[ \t]*=)")
# tomllib walks a dotted key anew for each of its steps, so a megabyte of dots would take hours. No key of ours has more than five steps.
_BARE_STEPS = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){32}")
_QUOTED_STEP = re.compile(r"[\"'][ \t]*+\.")


def parse(text: str) -> tuple[dict[str, Any], Callable[[], Mapping[Place, int]]]:
    """The tables of ``text`` and a function to find the lines of its places. Raises ``UnreadableError``, or ``RecursionError``."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > 64 and (_BARE_STEPS.search(line) or len(_QUOTED_STEP.findall(line)) > 16):
            raise UnreadableError("a key has too many dots", line=number)
    try:
        return tomllib.loads(text), lambda: _lines(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT.search(str(error))
        raise UnreadableError(
            f"this is not TOML: {_AT.sub('', str(error))}", line=int(at[1]) if at and at[1] else None
        ) from error
    except ValueError as error:
        # A date such as 2026-02-30 or a number of thousands of digits.
        raise UnreadableError(f"this is not TOML: {error}") from error


def _lines(text: str) -> dict[Place, int]:
    found: dict[Place, int] = {}
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        match = _LINE.match(line)
        if match is None:
            continue
        place = tuple(step.strip("\"'") for step in re.findall(_STEP, match[2] or match[3]))
        if match[1]:
            table = place
            if match[1] == "[[":
                counts[place] = counts.get(place, -1) + 1
                table = (*place, counts[place])
            found.setdefault(table, number)
        else:
            found.setdefault((*table, *place), number)
    return found
