"""``djed stats``: the numbers of an inspection, or of the whole store."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from djed.cli.pages import PAGE, every
from djed.cli.parameters import Injected, Json
from djed.cli.render.result import metrics, verdicts
from djed.cli.render.text import bold, dim
from djed.cli.render.words import amount, count
from djed.model.codec import encode
from djed.model.observation import Statistics
from djed.model.summary import Summary

__all__ = ["stats"]


def stats(
    reference: Annotated[
        str | None, Parameter(name="ID", help="An inspection; left out: the whole store.")
    ] = None,
    /,
    *,
    json: Json = False,
    context: Injected,
) -> None:
    """Show the numbers of an inspection, or of the whole store."""
    if reference is None:
        _store(json, context)
    else:
        _inspection(reference, json, context)


def _store(json: bool, context: Injected) -> None:
    with context.engine() as engine:
        totals = _totals(list(every(lambda after: engine.page(limit=PAGE, after=after))))
    if json:
        context.console.json(totals)
    else:
        _print_totals(totals, context)


def _inspection(reference: str, json: bool, context: Injected) -> None:
    with context.engine() as engine:
        statistics = engine.get(reference).statistics
    if json:
        context.console.json(encode(statistics))
    elif statistics:
        _print_statistics(statistics, context)
    else:
        context.console.note("Nothing was measured.")


def _totals(found: Sequence[Summary]) -> dict[str, Any]:
    return {
        "inspections": len(found),
        "states": dict(Counter(item.state for item in found)),
        "outcomes": dict(Counter(item.outcome for item in found if item.outcome)),
        "failures": dict(Counter(item.failure for item in found if item.failure)),
    }


def _print_totals(totals: dict[str, Any], context: Injected) -> None:
    context.console.out(bold(count(totals["inspections"], "inspection")))
    for section in ("states", "outcomes", "failures"):
        for name, number in totals[section].items():
            context.console.out("  ", dim(section.removesuffix("s").ljust(8)), f"{number:>7}  {name}")


def _print_statistics(statistics: Sequence[Statistics], context: Injected) -> None:
    context.console.lines(metrics(statistics, width=context.console.width))
    for item in statistics:
        values = "  ".join(
            amount(value, item.unit) + ("*" if at in item.outliers else "")
            for at, value in enumerate(item.values)
        )
        context.console.out(dim(f"{item.metric}: "), values)
    if any(item.outliers for item in statistics):
        context.console.out(dim("* outlier: beyond 1.5 interquartile ranges"))
    context.console.lines(verdicts(statistics))
