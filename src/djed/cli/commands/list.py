"""``djed list``: the newest inspections."""

import time
from functools import partial
from itertools import islice
from typing import Annotated, Literal

from cyclopts import Parameter

from djed.cli.pages import PAGE, every
from djed.cli.parameters import Count, Injected, Json
from djed.cli.render import shapes
from djed.cli.render.table import Column, table
from djed.cli.render.text import Part, bold, dim
from djed.cli.render.words import age, standing
from djed.errors import RequestError
from djed.model.quantity import format_duration
from djed.model.summary import Sort, Summary

__all__ = ["list_inspections"]

_State = Literal[
    "queued", "locking", "building", "running", "done", "refused", "cancelled",
    "succeeded", "failed", "timed_out", "out_of_memory",
]  # fmt: skip


def list_inspections(
    *,
    state: Annotated[
        list[_State] | None, Parameter(help="Only those in this state or with this outcome; may be repeated.")
    ] = None,
    name: Annotated[str | None, Parameter(help="Only those of this name.")] = None,
    sort: Annotated[Sort, Parameter(help="Order; `-`: the greatest first.")] = "-created",
    limit: Annotated[Count, Parameter(help="At most so many.")] = 50,
    json: Json = False,
    context: Injected,
) -> None:
    """List inspections, the newest first unless another order is asked for."""
    if limit < 1:
        raise RequestError("--limit must be at least 1.")
    with context.engine() as engine:
        asked = partial(engine.page, states=state or (), name=name, sort=sort, limit=min(limit + 1, PAGE))
        # One more than is shown tells whether there are more.
        found = list(islice(every(lambda after: asked(after=after)), limit + 1))
    console = context.console
    if json:
        console.json([shapes.summary(item) for item in found[:limit]])
        return
    if not found:
        console.note("No inspections. Begin with ", bold("djed inspect script.py"))
        return
    now = time.time()
    columns = [
        Column(title="ID"),
        Column(title="NAME", least=10),
        Column(title="STATE"),
        Column(title="AGE", right=True),
        Column(title="TIME", right=True),
        Column(title="RESULT", least=10),
        Column(title="NODE", least=8),
    ]
    console.lines(table(columns, [_row(item, now) for item in found[:limit]], width=console.width))
    if len(found) > limit:
        console.note(dim(f"There are more; --limit shows more than {limit}."))


def _row(item: Summary, now: float) -> list[Part]:
    return [
        item.id,
        bold(item.name),
        standing(item.state, item.outcome),
        age(item.created_at, now),
        "-" if item.seconds is None else format_duration(item.seconds),
        item.metric or item.failure or "-",
        dim(item.node or "-"),
    ]
