"""``djed plan``: what would become of a request."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from djed.cli.overrides import Overrides, read
from djed.cli.parameters import Injected, Json
from djed.cli.render.preview import preview_lines
from djed.errors import RequestError
from djed.model.codec import encode
from djed.model.preview import Preview
from djed.model.quantity import parse_duration

__all__ = ["plan"]


def plan(
    file: Annotated[Path, Parameter(name="FILE", help="A request file (.yaml, .json, .toml), or a script.")],
    /,
    *,
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
    wait: Annotated[
        str, Parameter(metavar="TIME", help="How long to wait for the stack where it must be resolved.")
    ] = "30s",
    recipe: Annotated[
        bool, Parameter(help="Only print the environment as a recipe that can be built by hand.")
    ] = False,
    json: Json = False,
    context: Injected,
) -> int:
    """Show what would become of a request, without running it.

    Where it would be built and run, and why not elsewhere; its stack and jobs; what is there already; and when it would start.
    """
    try:
        seconds = parse_duration(wait)
    except ValueError as error:
        raise RequestError(f"--wait: {error}.") from error
    submission = read(file, overrides or Overrides(), context.arguments, context.config)
    # Where the stack is not known yet, somebody has to resolve it.
    with context.engine() as engine, engine.working():
        found = engine.preview(submission, wait=seconds)
    console = context.console
    if json:
        console.json({**encode(found), "fits": found.fits, "name": submission.request.name})
    elif recipe:
        console.text(found.recipe or "")
    else:
        console.lines(preview_lines(submission.request.name, found, width=console.width))
    return _exit_code(found)


def _exit_code(found: Preview) -> int:
    """As the inspection would end: 5 where it were refused, 1 where it failed before anything ran."""
    if found.failure is not None and found.failure.stage != "plan":
        return 1
    return 0 if found.fits else 5
