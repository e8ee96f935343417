"""``djed diff``: what differs between two inspections."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from djed.cli.parameters import Injected, Json
from djed.cli.render.difference import difference_lines

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
        found = engine.difference(a, b)
    if json:
        context.console.json({"a": first.id, "b": second.id, **asdict(found)})
    else:
        context.console.lines(difference_lines(first, second, found))
