"""``djed queue``: where an inspection stands."""

from djed.cli.parameters import Injected, Json, Reference
from djed.cli.render.preview import queue_lines
from djed.model.codec import encode

__all__ = ["queue"]


def queue(reference: Reference, /, *, json: Json = False, context: Injected) -> None:
    """Show where an inspection stands in the queue, what it waits for, and when it may start."""
    with context.engine() as engine:
        item = engine.get(reference)
        place = engine.queue(item.id)
    if json:
        context.console.json({"id": item.id, "position": 0, "running": 0, **encode(place)})
    else:
        context.console.lines(queue_lines(item.name, place))
