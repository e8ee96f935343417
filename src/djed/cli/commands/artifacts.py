"""``djed artifacts``: what builds left behind."""

import time
from typing import Annotated

from cyclopts import Parameter

from djed.cli.artifacts import short
from djed.cli.pages import PAGE, every
from djed.cli.parameters import Injected, Json
from djed.cli.render.table import Column, table
from djed.cli.render.text import Part, bold, dim
from djed.cli.render.words import age, count
from djed.model.artifact import ArtifactKind
from djed.model.codec import encode
from djed.model.quantity import format_size
from djed.model.summary import StoredArtifact

__all__ = ["artifacts"]


def artifacts(
    *,
    kind: Annotated[
        tuple[ArtifactKind, ...], Parameter(metavar="KIND", help="Only this kind; may be repeated.")
    ] = (),
    json: Json = False,
    context: Injected,
) -> None:
    """List what builds left behind, newest first: environments, images, wheels, packagings."""
    with context.engine() as engine:
        found = [
            item
            for item in every(lambda after: engine.artifacts(limit=PAGE, after=after))
            if not kind or item.kind in kind
        ]
    console = context.console
    if json:
        # Every key is always there.
        console.json(
            [{"packages": 0, "inspections": 0, "inspection": None, **encode(item)} for item in found]
        )
        return
    if not found:
        console.note("No artifacts.")
        return
    columns = [
        Column(title="KIND"),
        Column(title="DIGEST"),
        Column(title="SIZE", right=True),
        Column(title="PACKAGES", right=True),
        Column(title="AGE", right=True),
        Column(title="USED BY", least=12),
    ]
    now = time.time()
    console.lines(table(columns, [_row(item, now) for item in found], width=console.width))


def _row(item: StoredArtifact, now: float) -> list[Part]:
    more = f" and {count(item.inspections - 1, 'other')}" if item.inspections > 1 else ""
    return [
        item.kind,
        bold(short(item.digest)),
        format_size(item.size),
        str(item.packages) if item.packages else "-",
        dim(age(item.created_at, now)),
        f"{item.inspection or '-'}{more}",
    ]
