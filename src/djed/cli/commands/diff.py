"""``djed diff``: what differs between two inspections."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from djed.cli.floor import noise_floor
from djed.cli.parameters import Injected, Json
from djed.cli.render.difference import difference_lines
from djed.errors import RequestError
from djed.model.observation import Statistics
from djed.service.difference import Compared, difference, shape

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["diff"]


def diff(
    a: Annotated[str, Parameter(name="A", help="An inspection.")],
    b: Annotated[str, Parameter(name="B", help="Another one.")],
    /,
    *,
    json: Json = False,
    context: Injected,
) -> None:
    """Show only what differs between two inspections.

    Request, packages, environment, hardware, and the results with the ratio and its interval.
    """
    with context.engine() as engine:
        first, second = engine.get(a), engine.get(b)
        if first.id == second.id:
            raise RequestError(
                f"{a!r} and {b!r} are the same inspection, {first.id}.",
                hint="A name means its newest; give ids: djed list",
            )
        jobs = (engine.jobs(first.id), engine.jobs(second.id))
        nodes = {job.node for side in jobs for job in side if job.kind == "run" and job.node}
        floor = noise_floor(engine, nodes)
    found = difference(first, second, jobs, _compare(first.statistics, second.statistics, floor))
    if json:
        context.console.json(shape(first, second, found))
    else:
        context.console.lines(difference_lines(first, second, found))


def _compare(
    before: "Sequence[Statistics]", after: "Sequence[Statistics]", floor: float | None
) -> list[Compared]:
    from djed.observe.timing import compare

    others = {item.metric: item for item in after}
    both = [(item, others[item.metric]) for item in before if item.metric in others]
    return [
        Compared(
            metric=a.metric,
            unit=a.unit,
            before=a.median,
            after=b.median,
            ratio=found.ratio,
            low=found.low,
            high=found.high,
            floor=found.floor,
            verdict=found.verdict,
            reason=found.reason,
        )
        for a, b in both
        for found in [compare(a, b, floor=floor)]
    ]
