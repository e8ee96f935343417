"""How long the command line takes to say its version, beside its peers."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bar import Row, alternate, beside, environment, timed, tool
from djed.model.quantity import format_duration

BAR = 0.150


def measure() -> Iterator[Row]:
    """One row."""
    names = ("djed", "uv", "nox", "tox")
    sides = {name: tool(name) for name in names}
    env = environment()
    medians = alternate(
        11, {name: lambda path=path: timed(path, "--version", env=env) for name, path in sides.items()}
    )  # type: ignore[misc]
    own = medians.pop("djed")
    yield Row(
        what="`djed --version`",
        bar=f"≤ {format_duration(BAR)}",
        measured=format_duration(own),
        beside=beside(own, medians),
        holds=own <= BAR,
    )
