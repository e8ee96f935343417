"""Small words: outcomes, moments, numbers and counts as people read them."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import PurePosixPath

from djed.cli.render.text import Part, bad, good, warn
from djed.model.quantity import format_duration, format_size
from djed.model.request import File, Request

__all__ = ["age", "amount", "count", "interval", "moment", "percent", "standing", "subject", "times"]

_STYLES = {
    "succeeded": good,
    "failed": bad,
    "timed_out": bad,
    "out_of_memory": bad,
    "refused": bad,
    "cancelled": warn,
}


def standing(state: str, outcome: str | None) -> Part:
    """How an inspection stands, in one word: its outcome, or its state where there is none."""
    word = outcome if state == "done" and outcome else state
    style = _STYLES.get(word)
    text = word.replace("_", " ")
    return style(text) if style else text


def subject(request: Request) -> str:
    """What a request runs, in short; ``environment`` where it only builds one."""
    if request.run is None:
        return "environment"
    script = request.run.script
    if script is not None:
        return PurePosixPath(script.path if isinstance(script, File) else script).name
    return PurePosixPath(request.run.command[0]).name if request.run.command else request.name


def age(then: float, now: float) -> str:
    """``12s``, ``5m``, ``3h``, ``2d``: the time since then."""
    seconds = max(0.0, now - then)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"


def moment(at: float) -> str:
    """A moment in local time, with its offset."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).astimezone().isoformat(" ", "seconds")


def amount(value: float, unit: str | None) -> str:
    """A value of a metric: seconds and bytes in their own way, anything else with four significant digits."""
    if not math.isfinite(value):
        return str(value)
    if unit == "s":
        return ("-" if value < 0 else "") + format_duration(abs(value))
    if unit == "B":
        return format_size(value)
    whole = value == round(value) and abs(value) < 10**9
    text = f"{value:.0f}" if whole else f"{value:.4g}"
    return f"{text} {unit}" if unit else text


def interval(low: float, high: float, unit: str | None) -> str:
    """``1.21s - 1.25s``, with a dash that is as long as it should be."""
    return f"{amount(low, unit)} \u2013 {amount(high, unit)}"


def times(number: int, what: str) -> str:
    """``5 x matmul.py``, with the sign of multiplication."""
    return f"{number} \u00d7 {what}"


def percent(share: float) -> str:
    """A share as ``1.2 %``, with two significant digits below ten."""
    value = share * 100
    return f"{value:.0f} %" if abs(value) >= 10 or value == 0 else f"{value:.2g} %"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 package``, ``2 packages``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
