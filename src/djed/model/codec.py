"""Nouns to JSON values and back, for data that we wrote ourselves (the database, job directories).

Foreign data is validated in ``intake`` instead; here a value that does not fit is a bug and raises.
Fields that hold their default are left out, so that a field added later does not change older digests.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["JSON", "decode", "encode"]

JSON = None | bool | int | float | str | list[Any] | dict[str, Any]

T = TypeVar("T")


def encode(value: Any) -> Any:
    """A JSON value of a noun, mapping, sequence or plain value; defaults are left out."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            name: encode(item)
            for name, default, factory in _fields(type(value))
            if (item := getattr(value, name)) != default and (factory is None or item != factory())
        }
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [encode(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def decode(kind: type[T], data: Any) -> T:
    """The noun of class ``kind`` that :func:`encode` turned into ``data``. Unknown keys are ignored: a newer Djed wrote them."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind!r} is not a noun")
    readers = _readers(kind)
    return kind(**{key: readers[key](item) for key, item in data.items() if key in readers})


@cache
def _fields(kind: type) -> tuple[tuple[str, Any, Callable[[], Any] | None], ...]:
    return tuple(
        (
            field.name,
            field.default,
            None if field.default_factory is dataclasses.MISSING else field.default_factory,
        )
        for field in dataclasses.fields(kind)
    )


@cache
def _readers(kind: type) -> dict[str, Callable[[Any], Any]]:
    hints = get_type_hints(kind)
    return {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}


def _reader(hint: Any) -> Callable[[Any], Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return lambda data: decode(hint, data)
    if origin in {Union, types.UnionType}:
        return _union_reader(arguments)
    if origin is tuple:
        inner = _reader(arguments[0])
        return lambda data: tuple(inner(item) for item in data)
    if origin in {dict, Mapping} or (isinstance(origin, type) and issubclass(origin, Mapping)):
        inner = _reader(arguments[1])
        return lambda data: {key: inner(item) for key, item in data.items()}
    if hint is float:
        return lambda data: data if data is None else float(data)
    # What has no JSON form, like a function, is never encoded: its default holds.
    if origin in {Literal, Callable} or hint in {str, int, bool, Any, object, types.NoneType}:
        return lambda data: data
    raise TypeError(f"{hint!r} has no JSON form")


def _union_reader(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Plain values pass; an object goes to the one noun of the union, a list to its one tuple."""
    noun = next(
        (hint for hint in arguments if isinstance(hint, type) and dataclasses.is_dataclass(hint)), None
    )
    lists = [_reader(hint) for hint in arguments if get_origin(hint) is tuple]
    maps = [_reader(hint) for hint in arguments if get_origin(hint) not in {tuple, None, Literal}]

    def read(data: Any) -> Any:
        if isinstance(data, dict):
            return decode(noun, data) if noun else maps[0](data) if maps else data
        if isinstance(data, list):
            return lists[0](data) if lists else data
        return data

    return read
