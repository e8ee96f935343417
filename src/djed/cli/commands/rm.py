"""``djed rm``: forget inspections."""

from djed.cli.parameters import Injected, Json, References
from djed.cli.render.words import count
from djed.errors import RequestError

__all__ = ["remove"]


def remove(*references: References, json: Json = False, context: Injected) -> None:
    """Remove inspections with their logs and results.

    Observations stay: they are evidence. Artifacts that nothing needs any more go with `djed gc`.
    """
    if not references:
        raise RequestError("There is nothing to remove.", hint="Name inspections: djed rm ID")
    with context.engine() as engine:
        removed = engine.remove(references)
    if json:
        context.console.json({"removed": removed})
    else:
        context.console.note(f"Removed {count(removed, 'inspection')}")
