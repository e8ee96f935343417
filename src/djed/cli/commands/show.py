"""``djed show``: one inspection in full."""

from djed.cli.parameters import Injected, Json, Reference
from djed.cli.render import shapes
from djed.cli.render.inspection import inspection_lines

__all__ = ["show"]


def show(reference: Reference, /, *, json: Json = False, context: Injected) -> None:
    """Show an inspection in full.

    Request, where it ran, failure or results, stack, jobs, and the timeline.
    """
    with context.engine() as engine:
        item = engine.get(reference)
        jobs, events = engine.jobs(item.id), engine.events([item.id])
        artifact = engine.artifact(item.artifact) if item.artifact else None
    if json:
        context.console.json(shapes.inspection(item, jobs, events, artifact))
    else:
        width = context.console.width
        context.console.lines(inspection_lines(item, jobs, events, artifact=artifact, width=width))
