"""``djed cancel``: end inspections."""

from djed.cli.parameters import Injected, Json, References
from djed.cli.render.text import bold, warn
from djed.errors import RequestError
from djed.model.inspection import FINAL

__all__ = ["cancel"]


def cancel(*references: References, json: Json = False, context: Injected) -> None:
    """Cancel inspections and end their processes."""
    if not references:
        raise RequestError("There is nothing to cancel.", hint="Name inspections: djed cancel ID")
    with context.engine() as engine, engine.working():
        cancelled = [engine.cancel(reference) for reference in references]
        pending = [item.id for item in cancelled if item.state not in FINAL]
        for _ in engine.follow(pending) if pending else ():
            pass
        cancelled = [engine.get(item.id) for item in cancelled]
    if json:
        context.console.json([{"id": item.id, "name": item.name, "state": item.state} for item in cancelled])
    for item in () if json else cancelled:
        context.console.note(warn("Cancelled"), " ", bold(item.name), f" {item.id}")
