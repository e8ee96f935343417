"""Quantities as people write them: ``2Gi``, ``500m``, ``1+``, ``10m``; read here, once, for every door.

The notation is that of Kubernetes resource quantities (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)
plus durations (``90s``, ``10m``, ``2h``, ``1d``) and ranges (``4``, ``4+``, ``4..8``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "Range",
    "format_duration",
    "format_size",
    "parse_count",
    "parse_duration",
    "parse_range",
    "parse_size",
]

_SIZE_UNITS = {
    "": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,9})?)"
_SIZE = re.compile(_NUMBER + r"\s?([kKMGTP]i?)?B?")
_DURATION = re.compile(_NUMBER + r"\s?(ms|s|m|h|d)?")
_COUNT = re.compile(_NUMBER + r"(m)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """An inclusive interval; ``high`` is ``None`` where there is no upper bound."""

    low: float
    high: float | None

    def __contains__(self, value: float) -> bool:
        """Whether ``value`` lies within."""
        return value >= self.low and (self.high is None or value <= self.high)


def parse_size(text: str | float) -> int:
    """Bytes from ``"2Gi"``, ``"500M"``, ``1024``. Raises ``ValueError`` with a sentence."""
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write for example 512Mi or 2Gi")
    return int(float(match[1]) * _SIZE_UNITS[match[2] or ""])


def parse_duration(text: str | float) -> float:
    """Seconds from ``"10m"``, ``"1.5h"``, ``90``. Raises ``ValueError`` with a sentence."""
    match = _DURATION.fullmatch(str(text).strip())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 10m or 2h")
    return float(match[1]) * _DURATION_UNITS[match[2] or ""]


def parse_count(text: str | float) -> float:
    """A number of CPUs or the like from ``"2"``, ``0.5``, ``"500m"``. Raises ``ValueError`` with a sentence."""
    match = _COUNT.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number; write for example 2, 0.5 or 500m")
    return float(match[1]) / (1000 if match[2] else 1)


def parse_range(text: str | float, unit: Callable[[str], float] = parse_count) -> Range:
    """``"4"`` is exactly 4, ``"4+"`` at least 4, ``"4..8"`` between. Raises ``ValueError`` with a sentence."""
    word = str(text).strip()
    if word.endswith("+"):
        return Range(low=unit(word[:-1]), high=None)
    low, dots, high = word.partition("..")
    result = Range(low=unit(low), high=unit(high) if dots else unit(low))
    if result.high is not None and result.high < result.low:
        raise ValueError(f"{text!r} is an empty range; write the smaller number first")
    return result


def format_size(size: float) -> str:
    """``"1.5 GiB"``: three significant digits, binary units."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    raise AssertionError


def format_duration(seconds: float) -> str:
    """``"340ms"``, ``"1.23s"``, ``"2m 05s"``, ``"3h 10m"``: as short as a line of progress wants it."""
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g}ms" if seconds < 0.001 else f"{seconds * 1e3:.0f}ms"
    if seconds < 59.995:
        return f"{seconds:.2f}s"
    whole = math.floor(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
