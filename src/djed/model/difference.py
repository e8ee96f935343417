"""What differs between two inspections, or between what is inside two things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Change", "Compared", "ContentsDifference", "Difference"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One thing that differs; ``None``: it is not there."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One metric of both."""

    metric: str
    unit: str | None
    before: float
    after: float
    """Medians."""
    ratio: float | None
    """after / before; ``None`` where it cannot be said."""
    low: float | None
    """Lower end of the ratio's 95 % interval."""
    high: float | None
    floor: float
    """Relative difference below which nothing is believed."""
    verdict: str
    """``faster``, ``slower``, ``higher``, ``lower``, ``same`` or ``cannot_tell``; of the second."""
    reason: str

    @property
    def sentence(self) -> str:
        """The verdict with its numbers."""
        if self.verdict in {"same", "cannot_tell"} or not (self.ratio and self.low and self.high):
            return f"{'no difference' if self.verdict == 'same' else 'cannot tell'}: {self.reason}"
        ends = (self.ratio, self.low, self.high)
        # "1.31 times faster" and "1.31 times slower" read alike, so the ratio is always the one above 1.
        ratio, low, high = ends if self.ratio >= 1 else (1 / self.ratio, 1 / self.high, 1 / self.low)
        return f"B is {ratio:.3g}\u00d7 {self.verdict} ({low:.3g}\u2013{high:.3g})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """All that differs, by section."""

    request: tuple[Change, ...] = ()
    packages: tuple[Change, ...] = ()
    native: tuple[Change, ...] = ()
    """Native packages of the environments."""
    environment: tuple[Change, ...] = ()
    hardware: tuple[Change, ...] = ()
    outcome: tuple[Change, ...] = ()
    results: tuple[Compared, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentsDifference:
    """All that differs in what is inside two things, by section."""

    system: tuple[Change, ...] = ()
    """Operating system, versions of interpreters and of CUDA."""
    native: tuple[Change, ...] = ()
    python: tuple[Change, ...] = ()
    symbols: tuple[Change, ...] = ()
    """Of libraries that both have, the symbol versions that only one of them defines."""
    variables: tuple[Change, ...] = ()
    settings: tuple[Change, ...] = ()
    """The rest of the image's configuration: machine, user, command, labels."""
    layers: tuple[Change, ...] = ()
    """By digest, with the bytes of each; those that both have are not here."""
    shared_layers: int = 0
    shared_size: int = 0
    """Bytes of the layers that both have."""
