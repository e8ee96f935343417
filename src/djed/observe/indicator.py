"""Numbers that a script tells about itself, without any schema (the performance indicators of Amun, docs/reference/result.md).

A script prints one JSON object with ``@result`` (and, if it likes, ``@parameters`` and ``overall_score``): as the whole of its stdout,
or as the last such line after chatter. Every number under ``@result`` is a metric, nested names joined with dots.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["LARGEST", "MOST", "indicator", "metrics", "notes", "parameters"]

MOST = 200
"""Metrics of one run that are kept."""
LARGEST = 1e300
"""Beyond it numbers are no measurements, and their sums overflow."""
_DEEPEST = 8
_LONGEST_NAME = 200
_LONGEST_LINE = 2**20


def indicator(stdout: Any) -> Mapping[str, Any]:
    """The object with ``@result`` that a script printed: all of ``stdout``, or its last line that is one. Empty where there is none."""
    if isinstance(stdout, Mapping):
        return stdout if isinstance(stdout.get("@result"), Mapping) or "overall_score" in stdout else {}
    if not isinstance(stdout, str):
        return {}
    # The cheap tests first: chatter may have a million lines.
    for line in reversed(stdout.splitlines()):
        if '"@result"' not in line or not line.strip().startswith("{") or len(line) > _LONGEST_LINE:
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line that only looks like one
        if isinstance(found.get("@result"), Mapping):
            return dict(found)
    return {}


def metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one run, from its report: ``duration`` (seconds) first, then ``overall_score``, then all numbers under ``@result``.

    Truth values are no numbers; infinities and the like are left out (:func:`notes` says so); at most :data:`MOST`.
    """
    found: dict[str, float] = {}
    for name, value in _numbers(report):
        if _usable(value):
            found.setdefault(name, value)
        if len(found) == MOST:
            break
    return found


def notes(report: Mapping[str, Any]) -> tuple[str, ...]:
    """What was left out of the metrics and why, as sentences."""
    numbers = list(_numbers(report))
    strange = sorted({name for name, value in numbers if not _usable(value)})
    names = {name for name, value in numbers if _usable(value)}
    said = [f"{', '.join(strange[:10])}: left out, not a usable number"] if strange else []
    if len(names) > MOST:
        said.append(f"{len(names) - MOST} metrics left out: more than {MOST}")
    return tuple(said)


def parameters(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the script says that it measured with (``@parameters``); empty where it says nothing."""
    found = indicator(report.get("stdout")).get("@parameters")
    return found if isinstance(found, Mapping) else {}


def _numbers(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if _is_number(report.get("duration")):
        yield "duration", float(report["duration"])
    said = indicator(report.get("stdout"))
    if _is_number(said.get("overall_score")):
        yield "overall_score", _number(said["overall_score"])
    yield from _walk(said.get("@result", {}), "", 0)


def _walk(tree: Any, name: str, depth: int) -> Iterator[tuple[str, float]]:
    if _is_number(tree):
        yield name[:_LONGEST_NAME] or "result", _number(tree)
    elif depth < _DEEPEST and isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from _walk(item, f"{name}.{key}" if name else str(key), depth + 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _usable(value: float) -> bool:
    return abs(value) <= LARGEST  # false for what is not a number, too


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond what a float holds
        return math.inf
