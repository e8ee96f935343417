"""``djed inspect``: lock, build, run, measure."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from djed.cli import follow, outcome
from djed.cli.overrides import Overrides, read
from djed.cli.parameters import Injected, Json
from djed.cli.render.text import bold
from djed.errors import RequestError

__all__ = ["inspect"]

_Level = Literal["none", "process", "bwrap", "container", "gvisor"]
_Reuse = Literal["nothing", "artifact", "result"]


def inspect(  # noqa: PLR0913 - one for each option
    *files: Annotated[
        Path,
        Parameter(
            name="FILE",
            help="Request files (.yaml, .json, .toml), or scripts. Several are measured interleaved.",
        ),
    ],
    repeat: Annotated[int | None, Parameter(metavar="N", help="Measured runs.")] = None,
    python: Annotated[str | None, Parameter(metavar="X", help="Python version or specifier.")] = None,
    packages: Annotated[
        list[str] | None, Parameter(name="--with", metavar="PKG", help="A further package; may be repeated.")
    ] = None,
    sandbox: Annotated[
        _Level | None, Parameter(metavar="LEVEL", help="The weakest sandbox that is acceptable.")
    ] = None,
    reuse: Annotated[_Reuse | None, Parameter(help="What may be taken from earlier inspections.")] = None,
    fresh: Annotated[
        bool, Parameter(help="Do all anew: lock, build and run, whatever the request says of reuse.")
    ] = False,
    target: Annotated[
        list[str] | None,
        Parameter(metavar="NAME", help="Where to run; may be repeated, in order of preference."),
    ] = None,
    name: Annotated[str | None, Parameter(metavar="NAME", help="Name of the inspection.")] = None,
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
    overrides = Overrides(
        name=name,
        repeat=repeat,
        python=python,
        packages=tuple(packages or ()),
        sandbox=sandbox,
        reuse=reuse,
        targets=tuple(target or ()),
        arguments=context.arguments,
    )
    submissions = [read(path, overrides, context.config) for path in files]
    with context.engine() as engine:
        inspections = engine.submit(submissions, fresh=fresh)
        if detach:
            for item in inspections:
                context.console.note(
                    "Submitted ", bold(item.name), f"; come back with djed logs -f {item.id}"
                )
            if json:
                context.console.json(
                    [{"id": item.id, "name": item.name, "state": item.state} for item in inspections]
                )
            else:
                context.console.lines([(item.id,) for item in inspections])
            return 0
        if not follow.follow(engine, inspections, context.console):
            return follow.INTERRUPTED
        inspections = [engine.get(item.id) for item in inspections]
        outcome.report(engine, inspections, context.console, json=json)
        return follow.exit_code(inspections)
