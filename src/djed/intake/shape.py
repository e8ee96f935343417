"""Plain values to nouns, by the type hints of the nouns, with every fault at once.

This does for a request what pydantic's strict JSON mode does, at a thirtieth of its start-up time, which `djed inspect` pays
each time, and it speaks in sentences; a test holds the two to the same verdicts. pydantic makes the JSON Schema.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from djed.intake.faults import Faults, Place, WrongValueError, quote

__all__ = ["WRONG", "Check", "Reader"]

Check = Callable[[Any], object]
"""Raises ``ValueError`` (a :class:`WrongValueError` where there is a hint) with a sentence."""

WRONG: Any = object()
"""What reading gives for a value with a fault."""

# Far more than any stack has, and few enough for every check to be done in a second or two.
_MOST = 10_000

_KINDS: dict[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false",
    tuple: "a list", Mapping: "a mapping",
}  # fmt: skip


class Reader:
    """Reads nouns.

    ``checks`` has a check by ``Class.field``, by ``Class.field[]`` for each item of a list, and by ``Class.field.keys`` and
    ``Class.field.values`` for a mapping.
    """

    def __init__(self, checks: Mapping[str, Check], faults: Faults) -> None:
        self._checks = checks
        self._faults = faults

    def noun(self, kind: type, data: Any, place: Place = ()) -> Any:
        """The noun of class ``kind``. What has a fault keeps its default; ``WRONG`` where there is none."""
        if not isinstance(data, Mapping):
            self._faults.add(place, f"must be a mapping, not {_describe(data)}", _empty_hint(data))
            return WRONG
        known, required = _known(kind)
        found = {}
        for key, item in data.items():
            if self._faults.full:
                break
            if key not in known:
                self._faults.add((*place, key), f"there is no key {quote(key)} here", _nearest(key, known))
            elif (
                value := self._value(known[key], item, (*place, key), f"{kind.__name__}.{key}")
            ) is not WRONG:
                found[key] = value
        for key in required:
            if key not in data:
                self._faults.add((*place, key), "is missing")
        return WRONG if set(required) - found.keys() else kind(**found)

    def _value(self, hint: Any, data: Any, place: Place, label: str) -> Any:
        chosen = _choose(hint, data)
        if chosen is None:
            self._faults.add(place, f"must be {_kinds(hint)}, not {_describe(data)}", _type_hint(hint, data))
            return WRONG
        if chosen is types.NoneType:
            return None
        if isinstance(data, list | Mapping) and len(data) > _MOST:
            self._faults.add(place, f"has {len(data)} entries, but no more than {_MOST} are possible")
            return WRONG
        value = self._read(chosen, data, place, label)
        if value is WRONG or self._faults.under(place):
            return value
        return value if self._passes(label, value, place) else WRONG

    def _read(self, hint: Any, data: Any, place: Place, label: str) -> Any:
        origin, arguments = get_origin(hint), get_args(hint)
        if is_dataclass(hint):
            return self.noun(hint, data, place)  # type: ignore[arg-type]
        if origin is tuple:
            items = [
                self._value(arguments[0], item, (*place, number), f"{label}[]")
                for number, item in enumerate(data)
            ]
            return tuple(item for item in items if item is not WRONG)
        if origin is Mapping or _is_mapping(origin):
            return self._mapping(arguments[1], data, place, label)
        if origin is Literal and data not in arguments:
            choices = ", ".join(map(str, arguments))
            self._faults.add(place, f"{quote(data)} is not one of {choices}", _nearest(data, arguments))
            return WRONG
        return data

    def _mapping(self, hint: Any, data: Mapping[str, Any], place: Place, label: str) -> dict[str, Any]:
        found = {}
        for key, item in data.items():
            value = self._value(hint, item, (*place, key), f"{label}.values")
            if self._passes(f"{label}.keys", key, (*place, key)) and value is not WRONG:
                found[key] = value
        return found

    def _passes(self, label: str, value: Any, place: Place) -> bool:
        check = self._checks.get(label)
        try:
            if check is not None:
                check(value)
        except WrongValueError as error:
            self._faults.add(place, str(error), error.hint)
            return False
        except ValueError as error:
            self._faults.add(place, str(error))
            return False
        return True


@cache
def _known(kind: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Type hint by field name, and the names of fields without a default."""
    hints = get_type_hints(kind)
    required = [
        item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING
    ]
    return {item.name: hints[item.name] for item in fields(kind)}, tuple(required)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)


def _choose(hint: Any, data: Any) -> Any:
    """The alternative of a type hint that takes data of this kind; ``None`` where there is none."""
    return next((one for one in _alternatives(hint) if _takes(one, data)), None)


def _takes(hint: Any, data: Any) -> bool:
    origin = get_origin(hint)
    if hint is Any:
        return True
    if is_dataclass(hint) or _is_mapping(origin):
        return isinstance(data, Mapping)
    if origin is tuple:
        return isinstance(data, list)
    if origin is Literal:
        return isinstance(data, str)
    if hint is float:
        return isinstance(data, int | float) and not isinstance(data, bool)
    return type(data) is hint


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _kinds(hint: Any) -> str:
    """``text or a number``: what a type hint asks for."""
    found: dict[str, None] = {}
    for one in _alternatives(hint):
        origin = get_origin(one)
        key = (
            Mapping
            if is_dataclass(one) or _is_mapping(origin)
            else str
            if origin is Literal
            else origin or one
        )
        if key in _KINDS:
            found[_KINDS[key]] = None
    return " or ".join(found)


def _describe(data: Any) -> str:
    if data is None:
        return "nothing"
    if isinstance(data, Mapping):
        return "a mapping"
    return "a list" if isinstance(data, list) else quote(data)


def _empty_hint(data: Any) -> str | None:
    return "Leave the key out." if data is None else None


def _type_hint(hint: Any, data: Any) -> str | None:
    """What to write instead."""
    wanted = {get_origin(one) or one for one in _alternatives(hint)}
    if isinstance(data, float) and str in wanted:
        return f'Put it in quotes, as in "{data}": without them, 3.10 is the number 3.1.'
    if isinstance(data, int) and str in wanted:
        return f'Put it in quotes: "{quote(data)}".'
    if isinstance(data, str | int | float) and tuple in wanted:
        return f"Write a list: [{quote(data)}]."
    if isinstance(data, str) and data.strip().lstrip("-").isdecimal() and wanted & {int, float}:
        return f"Write it without quotes: {data.strip()}."
    if isinstance(data, str) and bool in wanted:
        return "Write true or false, without quotes."
    return _empty_hint(data)


def _nearest(word: Any, known: Iterable[Any]) -> str | None:
    choices = [str(item) for item in known]
    near = get_close_matches(str(word)[:100], choices, 1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Known here: {', '.join(choices)}." if len(choices) <= 12 else None
