"""``djed gc``: remove what nothing needs."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from djed.cli.parameters import Injected, Json
from djed.cli.render.words import count
from djed.errors import RequestError
from djed.model.quantity import format_size, parse_duration

__all__ = ["collect_garbage"]


def collect_garbage(
    *,
    older_than: Annotated[
        str | None, Parameter(metavar="TIME", help="Also final inspections older than this: 30d, 12h.")
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Only say what would go.")] = False,
    json: Json = False,
    context: Injected,
) -> None:
    """Remove artifacts and the like that no inspection needs."""
    try:
        seconds = None if older_than is None else parse_duration(older_than)
    except ValueError as error:
        raise RequestError(f"--older-than: {error}.") from error
    with context.engine() as engine:
        collected = engine.gc(older_than=seconds, dry_run=dry_run)
    if json:
        context.console.json({**asdict(collected), "dry_run": dry_run})
        return
    counts = [(name, number) for name, number in asdict(collected).items() if name != "size" and number]
    what = ", ".join(count(number, name.removesuffix("s")) for name, number in counts) or "nothing"
    context.console.out(f"{'Would remove' if dry_run else 'Removed'} {what} ({format_size(collected.size)})")
