"""The command line: global options, the commands by name, and the one door at which errors become sentences.

The commands are named as strings and imported when they are called, so that each starts as fast as what it needs itself.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter

from djed import __version__
from djed.cli.console import Color, Console
from djed.cli.context import Context
from djed.cli.render.text import bad, bold, dim
from djed.config import load
from djed.errors import ConfigError, DjedError, RequestError

__all__ = ["COMMANDS", "build", "main"]

COMMANDS = {
    "inspect": "inspect:inspect",
    "build": "build:build",
    "plan": "plan:plan",
    "recipe": "recipe:recipe",
    "list": "list:list_inspections",
    "show": "show:show",
    "logs": "logs:logs",
    "queue": "queue:queue",
    "cancel": "cancel:cancel",
    "retry": "retry:retry",
    "rm": "rm:remove",
    "gc": "gc:collect_garbage",
    "artifacts": "artifacts:artifacts",
    "push": "push:push",
    "extract": "extract:extract",
    "diff": "diff:diff",
    "stats": "stats:stats",
    "export": "export:export",
    "hwinfo": "hwinfo:hwinfo",
    "secret": "secret:app",
    "webhook": "webhook:app",
    "doctor": "doctor:doctor",
    "schema": "schema:schema",
    "config": "config:show_config",
    "serve": "serve:serve",
    "worker": "worker:worker",
    "token": "token:app",
    "namespace": "namespace:app",
    "audit": "audit:audit",
    "store": "store:app",
}

_REPEATED = {
    "inspect": "FILE... [-- ARGUMENTS]",
    "cancel": "ID...",
    "rm": "ID...",
    "extract": "[TARGET]",
    "stats": "[ID]",
    "export": "[ID...]",
}
"""How the arguments of commands read that may have any number of them."""
_GLOBAL = Group("Global options", sort_key=10)


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code (docs/reference/cli.md). A ``DjedError`` is shown as a sentence, anything else crashes."""
    mine, theirs = _split(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding shows a question mark
            stream.reconfigure(errors="replace")
    console = Console()
    try:
        _check(arguments)
        code = _dispatch(mine, theirs)
        sys.stdout.flush()
    except CycloptsError as error:
        console.err(bad("error"), bold(": "), str(error))
        console.err(dim("hint: "), "`djed --help` shows the commands, `djed COMMAND --help` their options.")
        return 2
    except DjedError as error:
        _explain(error, console)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough. Python would complain once more when it flushes at exit
        # (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _split(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Ours, and what stands behind the first ``--``."""
    if "--" not in arguments:
        return list(arguments), ()
    at = list(arguments).index("--")
    return list(arguments[:at]), tuple(arguments[at + 1 :])


def _check(arguments: Sequence[str]) -> None:
    """Refuse what cannot be written into a request, a store or a message."""
    for argument in arguments:
        if not argument.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in argument):
            raise RequestError(f"The argument {argument!r} is not UTF-8.")


def build(theirs: tuple[str, ...] = (), *, helps: bool = True) -> App:
    """The application; ``theirs`` is what stood behind ``--``. Its ``meta`` reads the global options, wherever they stand.

    Without ``helps`` it cannot show help in our style, and starts 15 ms sooner.
    """
    app = App(
        name="djed",
        help="Proves that software stacks work, and how fast, on the hardware you have.",
        help_formatter="plain" if helps else None,
        version=f"djed {__version__}",
        version_flags=["--version"],
        default_parameter=Parameter(negative=(), show_default=False),
    )
    for order, (name, place) in enumerate(COMMANDS.items()):
        # A group of commands, which is an application of its own, takes no usage.
        usage = {"usage": f"Usage: djed {name} [OPTIONS] {_REPEATED[name]}"} if name in _REPEATED else {}
        app.command(f"djed.cli.commands.{place}", name=name, sort_key=order, **usage)

    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        data: Annotated[
            str | None, Parameter(group=_GLOBAL, name="--data", metavar="DIR", help="Folder of the store.")
        ] = None,
        settings: Annotated[
            list[str] | None,
            Parameter(group=_GLOBAL, name="--set", metavar="NAME=VALUE", help="A setting; may be repeated."),
        ] = None,
        color: Annotated[
            Color,
            Parameter(
                group=_GLOBAL, name="--color", metavar="WHEN", help="When to colour; `auto` honours NO_COLOR."
            ),
        ] = "auto",
        quiet: Annotated[
            bool, Parameter(group=_GLOBAL, name=["--quiet", "-q"], help="Only data and errors.")
        ] = False,
    ) -> int:
        command, bound, injected = app.parse_args(tokens, exit_on_error=False, print_error=False)
        if "context" not in injected:
            command(*bound.args, **bound.kwargs)  # help and version
            return 0
        config = load(_overrides(data, settings or []))
        context = Context(config=config, console=Console(color=color, quiet=quiet), arguments=theirs)
        return command(*bound.args, **bound.kwargs, context=context) or 0

    app.meta.default(launch)
    return app


def _dispatch(mine: Sequence[str], theirs: tuple[str, ...]) -> int:
    named = not COMMANDS.keys().isdisjoint(mine)
    app = build(theirs, helps=not named or not {"--help", "-h"}.isdisjoint(mine))
    if not named:
        for name in COMMANDS:
            app[name]  # only now imported: the list of commands wants a sentence of each
    code = app.meta(mine, exit_on_error=False, print_error=False, result_action="return_value")
    return int(code or 0)


def _overrides(data: str | None, settings: Sequence[str]) -> dict[str, str]:
    values = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(
                f"--set {text!r} has no value.", hint="Write --set name=value; `djed config` lists the names."
            )
        values[name] = value
    return values if data is None else {**values, "data": data}


def _explain(error: DjedError, console: Console) -> None:
    console.err(bad("error"), bold(": "), error.message)
    if error.hint:
        console.err(dim("hint: "), error.hint)
    for fault in error.faults if isinstance(error, RequestError) else ():
        if fault.message in error.message:
            continue  # the sentence above is about this one
        line = "" if fault.line is None else f"line {fault.line}: "
        console.err("  ", dim(line), bold(f"{fault.path}: " if fault.path else ""), fault.message)
        if fault.hint:
            console.err("    ", dim("hint: "), fault.hint)
