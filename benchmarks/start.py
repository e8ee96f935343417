"""How long the command line takes to say its version, beside its peers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.bar import Row, alternate, beside, environment, timed, tool
from djed.model.quantity import format_duration

BAR = 0.150


def measure() -> Iterator[Row]:
    """One row."""
    env = environment()
    sides = {name: partial(timed, tool(name), "--version", env=env) for name in ("djed", "uv", "nox", "tox")}
    medians = alternate(11, sides)
    own = medians.pop("djed")
    yield Row(
        what="`djed --version`",
        bar=f"≤ {format_duration(BAR)}",
        measured=format_duration(own),
        beside=beside(own, medians),
        holds=own <= BAR,
    )
