"""Requests that come over the network: read by intake, each fault with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from djed.errors import Fault, RequestError
from djed.intake import Submission, read_mapping
from djed.intake.validate import validate

if TYPE_CHECKING:
    from djed.config import Config
    from djed.intake.document import Document

__all__ = ["read_group", "read_one"]

_MOST = 100
"""Faults that are told of a group."""


def read_one(document: Document, config: Config) -> Submission:
    """The request in a body; it cannot name files by their paths. Raises ``RequestError`` with every fault."""
    return validate(document, config=config, folder=None)


def read_group(requests: Sequence[Mapping[str, Any]], config: Config) -> Sequence[Submission]:
    """The requests of a group. Raises ``RequestError`` with the faults of all."""
    found: list[Submission] = []
    faults: list[Fault] = []
    for number, data in enumerate(requests):
        try:
            found.append(read_mapping(data, config=config))
        except RequestError as error:
            wrong = error.faults or (Fault(path="", message=error.message.rstrip("."), hint=error.hint),)
            faults += [replace(fault, path=_within(number, fault.path)) for fault in wrong]
        if len(faults) >= _MOST:
            break
    if faults:
        first = faults[0]
        raise RequestError(f"{first.path}: {first.message}.", faults=tuple(faults[:_MOST]), hint=first.hint)
    return found


def _within(number: int, path: str) -> str:
    dot = "." if path and not path.startswith("[") else ""
    return f"requests[{number}]{dot}{path}"
