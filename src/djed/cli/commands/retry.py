"""``djed retry``: the same request once more."""

from djed.cli import follow, outcome
from djed.cli.parameters import Injected, Json, Reference
from djed.cli.render.text import dim

__all__ = ["retry"]


def retry(reference: Reference, /, *, json: Json = False, context: Injected) -> int:
    """Run the request of an inspection once more, as a new one."""
    with context.engine() as engine:
        item = engine.retry(reference)
        context.console.note(dim(f"Again as {item.id}"))
        if not follow.follow(engine, [item], context.console):
            return follow.INTERRUPTED
        final = [engine.get(item.id)]
        outcome.report(engine, final, context.console, json=json)
        return follow.exit_code(final)
