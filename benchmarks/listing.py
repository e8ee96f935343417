"""``djed list`` with ten thousand inspections in the store."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bar import Row, alternate, beside, environment, place, timed, tool
from djed.config import load
from djed.intake import Submission
from djed.model.quantity import format_duration
from djed.model.request import Request, Run
from djed.service import Engine

BAR = 0.300
INSPECTIONS = 10_000


def measure() -> Iterator[Row]:
    """One row."""
    with place() as folder:
        with Engine.open(load({"data": str(folder)})) as engine:
            for start in range(0, INSPECTIONS, 1000):
                engine.submit([_submission(number) for number in range(start, start + 1000)])
        env = environment(DJED_DATA=str(folder))
        djed = tool("djed")
        medians = alternate(
            9,
            {
                "list": lambda: timed(djed, "list", env=env),
                "--version": lambda: timed(djed, "--version", env=env),
            },
        )
    own = medians.pop("list")
    yield Row(
        what=f"`djed list` with {INSPECTIONS:,} inspections",
        bar=f"≤ {format_duration(BAR)}",
        measured=format_duration(own),
        beside=beside(own, medians),
        holds=own <= BAR,
    )


def _submission(number: int) -> Submission:
    return Submission(request=Request(name=f"listed-{number}", run=Run(command=("true",))))
