"""Problems that a server tells (RFC 9457) as the errors that the engine would have raised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from djed import errors
from djed.errors import DjedError, Fault, RateError, RequestError, RunnerError, ServerError

__all__ = ["PROBLEM", "problem"]

PROBLEM = "application/problem+json"
_URN = "urn:djed:error:"
_MOST = 1000
"""Faults, and characters of a sentence, that are taken over."""


def problem(content: bytes) -> DjedError | None:
    """The error in the body of an answer; ``None`` where it tells none."""
    try:
        told = json.loads(content)
        detail = str(told["detail"])[:_MOST] if told.get("detail") else str(told["title"])[:_MOST]
        kind = str(told.get("type", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    hint = str(told["hint"])[:_MOST] if told.get("hint") else None
    known = _KINDS.get(kind.removeprefix(_URN)) if kind.startswith(_URN) else None
    return _make(known or ServerError, detail, hint, told)


def _make(kind: type[DjedError], detail: str, hint: str | None, told: Mapping[str, Any]) -> DjedError:
    if issubclass(kind, RequestError):
        return kind(detail, faults=tuple(_faults(told.get("faults"))), hint=hint)
    if issubclass(kind, RateError):
        after = told.get("after")
        return kind(detail, after=float(after) if isinstance(after, int | float) else 1.0, hint=hint)
    if issubclass(kind, RunnerError):
        return kind(detail, transient=told.get("transient") is True, hint=hint)
    return kind(detail, hint=hint)


def _faults(told: Any) -> Iterator[Fault]:
    for item in told[:_MOST] if isinstance(told, list) else ():
        if isinstance(item, dict):
            line, hint = item.get("line"), item.get("hint")
            yield Fault(
                path=str(item.get("path", "")),
                message=str(item.get("message", ""))[:_MOST],
                line=line if isinstance(line, int) else None,
                hint=str(hint)[:_MOST] if hint else None,
            )


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removesuffix("Error")).lower()


_KINDS: Mapping[str, type[DjedError]] = {
    _kebab(name): kind
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, DjedError)
}
"""Error classes by the last part of their URN, as ``djed.api`` makes it."""
