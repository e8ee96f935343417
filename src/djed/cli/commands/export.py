"""``djed export``: results and observations for other programs."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from djed.cli.pages import PAGE, every
from djed.cli.parameters import Injected, References
from djed.cli.render import shapes
from djed.cli.render.words import count
from djed.errors import DjedError
from djed.model.summary import Page, StoredObservation
from djed.observe import tabular

if TYPE_CHECKING:
    from djed.service import Service

__all__ = ["export"]


def export(
    *references: References,
    form: Annotated[
        Literal["json", "csv"], Parameter(name="--format", help="json, or csv with one line a value.")
    ] = "json",
    observations: Annotated[bool, Parameter(help="The observations instead of the results.")] = False,
    output: Annotated[
        Path | None, Parameter(metavar="FILE", help="Write to a new file instead of stdout.")
    ] = None,
    context: Injected,
) -> None:
    """Export results or observations; without an ID all of them."""
    with context.engine() as engine:
        collect = _observations if observations else _results
        number, text = collect(engine, references, form)
    if output is None:
        context.console.text(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DjedError(f"{output} cannot be written: {error.strerror}.") from error
    context.console.note(
        f"Exported {count(number, 'observation' if observations else 'inspection')} to {output}"
    )


def _results(engine: "Service", references: Sequence[str], form: str) -> tuple[int, str]:
    chosen = references or [item.id for item in every(lambda after: engine.page(limit=PAGE, after=after))]
    found = [(item, engine.jobs(item.id)) for item in map(engine.get, chosen)]
    if form == "csv":
        return len(found), tabular.results(found)
    return len(found), _dump([shapes.inspection(item, jobs) for item, jobs in found])


def _observations(engine: "Service", references: Sequence[str], form: str) -> tuple[int, str]:
    chosen: Sequence[str | None] = references or [None]
    found = [item for reference in chosen for item in every(partial(_observed, engine, reference))]
    if form == "csv":
        return len(found), tabular.observations(found)
    return len(found), _dump([shapes.observation(item) for item in found])


def _observed(engine: "Service", reference: str | None, after: str | None) -> Page[StoredObservation]:
    return engine.observations(reference, limit=PAGE, after=after)


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
