"""Everything that is wrong with a request, collected, each with its place and line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from djed.errors import Fault, RequestError

__all__ = [
    "DEPTH",
    "Complain",
    "Faults",
    "Noted",
    "Place",
    "UnreadableError",
    "WrongValueError",
    "itself",
    "quote",
    "render",
    "stop",
]

Place = tuple[str | int, ...]
"""Keys and positions from the top of a document down."""

Noted = tuple[Place, str, str | None]
"""Place, message and hint of a fault."""

DEPTH = 64
"""Deepest nesting of a document."""

# A hostile document of a megabyte can be wrong in a hundred thousand places; nobody reads more than these.
_MOST = 100
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class WrongValueError(ValueError):
    """A value is wrong; the text is a sentence without its end."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UnreadableError(ValueError):
    """A document has no value: its syntax is wrong. The text is a sentence without its end."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class Complain(Protocol):
    """How a parser of a foreign format says what is wrong, and goes on."""

    def __call__(self, message: str, *, line: int | None = None, hint: str | None = None) -> None:
        """Take note of one fault at ``line`` of the file."""
        ...


def itself(place: Place) -> Place:
    """The origin of a place in a request that was not translated."""
    return place


class Faults:
    """The faults of one request; ``lines`` is asked for the line of each place only once something is wrong.

    Where the request was translated, ``origin`` gives a place as the file has it.
    """

    def __init__(
        self,
        name: str,
        lines: Callable[[], Mapping[Place, int]] = dict,
        *,
        origin: Callable[[Place], Place] = itself,
        found: Iterable[Noted] = (),
    ) -> None:
        self._name = _shown(name)
        self._lines = lines
        self._origin = origin
        self.found: list[Noted] = list(found)
        """With their places in the file."""

    def add(self, place: Place, message: str, hint: str | None = None) -> None:
        """Take note of one fault."""
        fault = (self._origin(place), _sentence(message), hint and _sentence(hint))
        if fault not in self.found and not self.full:
            self.found.append(fault)

    @property
    def full(self) -> bool:
        """Whether there are so many that further ones are not told."""
        return len(self.found) >= _MOST

    def at(self, place: Place, file: str) -> Complain:
        """A way to complain about ``file``, which the request names at ``place``."""

        def complain(message: str, *, line: int | None = None, hint: str | None = None) -> None:
            where = _shown(file) if line is None else f"{_shown(file)}:{line}"
            self.add(place, f"{where}: {message}", hint)

        return complain

    def under(self, place: Place) -> bool:
        """Whether something is wrong at ``place`` or below it."""
        if not self.found:
            return False
        place = self._origin(place)
        return any(found[: len(place)] == place for found, _, _ in self.found)

    def raise_all(self) -> None:
        """Raise ``RequestError`` with every fault in the order of the lines; return where there is none."""
        if not self.found:
            return
        lines = self._lines()
        faults = [
            Fault(path=render(place), message=message, line=_line(place, lines), hint=hint)
            for place, message, hint in self.found
        ]
        faults.sort(key=lambda fault: fault.line or 0)
        first, others = faults[0], len(faults) - 1
        where = f"{self._name}:{first.line}" if first.line else self._name
        path = f"{first.path}: " if first.path else ""
        more = f" (and {'at least ' if self.full else ''}{others} more)" if others else ""
        raise RequestError(f"{where}: {path}{first.message}{more}.", faults=tuple(faults), hint=first.hint)


def stop(name: str, message: str, *, line: int | None = None, hint: str | None = None) -> RequestError:
    """The error of a file that cannot be read at all."""
    where = _shown(name) if line is None else f"{_shown(name)}:{line}"
    message = _sentence(message)
    fault = Fault(path="", message=message, line=line, hint=hint)
    return RequestError(f"{where}: {message}.", faults=(fault,), hint=hint)


def render(place: Place) -> str:
    """``run.resources.memory``, ``environment.packages[2]``, ``labels["a b"]``."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{quote(step)}]"
    return text


def quote(value: Any) -> str:
    """A value as it would be written in a request: on one line, without invisible characters, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        # Invisible characters and those that change the direction of writing would make one value look like another.
        text = text if text.isprintable() else json.dumps(value).replace("\x7f", "\\u007f")
    except (TypeError, ValueError):
        text = ascii(value)
    return text if len(text) <= 80 else text[:76] + " …" + text[-1]


def _shown(name: str) -> str:
    """The name of a file as it is safe to show."""
    return name if name.isprintable() and name else quote(name)


def _sentence(text: str) -> str:
    """One line of bounded length, whatever a foreign parser quoted."""
    line = " ".join(text.split())
    return line if len(line) <= 500 else line[:498] + " …"


def _line(place: Place, lines: Mapping[Place, int]) -> int | None:
    """The line of ``place`` or of the nearest place around it."""
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return None
