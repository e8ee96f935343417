"""YAML to plain values with lines, from the event stream: no recursion, no tags, no aliases, no duplicate keys.

Scalars are read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), so ``no`` is text and so is a date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from djed.intake.faults import DEPTH, Place, UnreadableError, quote

__all__ = ["parse"]

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Fifteen digits keep a hostile number from becoming a slow one; more of them are text and refused where a number is expected.
_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]{1,15}|[0-9]{1,15}(\.[0-9]{0,15})?)([eE][-+]?[0-9]{1,3})?")
_TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not been read."""

    value: dict[str, Any] | list[Any]
    place: Place
    key: str | None = None
    """Key whose value comes next."""


@dataclass(slots=True)
class _Builder:
    """Builds the value from events."""

    lines: dict[Place, int] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    result: Any = None
    documents: int = 0

    def event(self, event: Any) -> None:
        """Take the next event in."""
        line = event.start_mark.line + 1
        match type(event).__name__:
            case "AliasEvent":
                raise UnreadableError(
                    f"aliases ({quote('*' + event.anchor)}) are not allowed; write the value out", line=line
                )
            case "ScalarEvent":
                self._scalar(event, line)
            case "MappingStartEvent":
                self._open(event, {}, line)
            case "SequenceStartEvent":
                self._open(event, [], line)
            case "MappingEndEvent" | "SequenceEndEvent":
                self.stack.pop()
            case "DocumentStartEvent":
                self.documents += 1
                if self.documents > 1:
                    raise UnreadableError("one file holds one request, not several documents", line=line)

    def _scalar(self, event: Any, line: int) -> None:
        parent = self.stack[-1] if self.stack else None
        if event.tag not in _TEXT_TAGS:
            raise UnreadableError(f"tags ({quote(event.tag)}) are not allowed", line=line)
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            if event.value in parent.value:
                raise UnreadableError(f"the key {quote(event.value)} is there twice", line=line)
            parent.key = event.value
            self.lines[*parent.place, event.value] = line
        else:
            plain = not event.style and event.tag is None
            self._put(_scalar(event.value) if plain else event.value, line)

    def _open(self, event: Any, value: dict[str, Any] | list[Any], line: int) -> None:
        if event.tag not in {None, "!"}:
            raise UnreadableError(f"tags ({quote(event.tag)}) are not allowed", line=line)
        if len(self.stack) >= DEPTH:
            raise UnreadableError(f"the file is nested deeper than {DEPTH} levels", line=line)
        self.stack.append(_Open(value, self._put(value, line)))

    def _put(self, value: Any, line: int) -> Place:
        """Add a value to what is open; returns its place."""
        if not self.stack:
            self.result = value
            return ()
        parent = self.stack[-1]
        if isinstance(parent.value, list):
            place: Place = (*parent.place, len(parent.value))
            parent.value.append(value)
            self.lines[place] = line
            return place
        if parent.key is None:
            raise UnreadableError("a key must be text", line=line)
        place = (*parent.place, parent.key)
        parent.value[parent.key] = value
        parent.key = None
        return place


def parse(text: str) -> tuple[Any, Callable[[], Mapping[Place, int]]]:
    """The value of the one document in ``text`` and the lines of its places. Raises ``UnreadableError``."""
    builder = _Builder()
    for event in _events(text):
        builder.event(event)
    return builder.result, lambda: builder.lines


def _events(text: str) -> Iterator[Any]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problem = error.problem or error.context
        raise UnreadableError(f"this is not YAML: {problem}", line=line) from error
    except yaml.YAMLError as error:
        raise UnreadableError("this is not YAML: it holds a character that YAML forbids") from error


def _scalar(word: str) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    if _INTEGER.fullmatch(word):
        return int(word)
    if _NUMBER.fullmatch(word):
        return float(word)
    return word
