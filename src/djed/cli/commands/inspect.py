"""``djed inspect``: lock, build, run, measure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from djed.cli import follow, outcome
from djed.cli.overrides import Overrides, read
from djed.cli.parameters import Injected, Json
from djed.cli.render.text import bold
from djed.errors import RequestError
from djed.model.inspection import Inspection

__all__ = ["inspect"]


def inspect(
    *files: Annotated[
        Path,
        Parameter(
            name="FILE",
            help="Request files (.yaml, .json, .toml), or scripts; several are measured interleaved.",
        ),
    ],
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
    fresh: Annotated[
        bool, Parameter(help="Do all anew: lock, build and run, whatever the request says of reuse.")
    ] = False,
    detach: Annotated[
        bool,
        Parameter(
            name=["--detach", "-d"], help="Only submit and print the id; work goes on when a worker runs."
        ),
    ] = False,
    json: Json = False,
    context: Injected,
) -> int:
    """Lock, build, run and measure, and keep the evidence.

    What stands behind `--` are arguments of the script. Ctrl-C cancels; a second one leaves the job running.
    """
    if not files:
        raise RequestError(
            "There is nothing to inspect.", hint="Name a request file or a script: djed inspect script.py"
        )
    chosen = overrides or Overrides()
    submissions = [read(path, chosen, context.arguments, context.config) for path in files]
    with context.engine() as engine:
        if not detach:
            engine.check_parts()  # what is missing on this machine is said before anything is stored
        inspections = engine.submit(submissions, fresh=fresh)
        if detach:
            _tell(inspections, json, context)
            return 0
        if not follow.follow(engine, inspections, context.console):
            return follow.INTERRUPTED
        inspections = [engine.get(item.id) for item in inspections]
        outcome.report(engine, inspections, context.console, json=json)
        return follow.exit_code(inspections)


def _tell(inspections: Sequence[Inspection], json: bool, context: Injected) -> None:
    """Say under which ids they will be found."""
    for item in inspections:
        context.console.note("Submitted ", bold(item.name), f"; come back with djed logs -f {item.id}")
    if json:
        context.console.json(
            [{"id": item.id, "name": item.name, "state": item.state} for item in inspections]
        )
    else:
        context.console.lines([(item.id,) for item in inspections])
