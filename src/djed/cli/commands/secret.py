"""``djed secret``: values that jobs may read and nobody else sees."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from djed.cli.parameters import Injected, Json
from djed.errors import RequestError
from djed.model.quantity import format_size

__all__ = ["app", "list_secrets", "remove_secret", "set_secret"]

_MOST = 64 * 1024

app = App(
    name="secret", help="Keep values that jobs may read and that are never shown.", help_formatter="plain"
)

_Name = Annotated[str, Parameter(name="NAME", help="Name of the secret, as requests name it.")]


@app.command(name="set")
def set_secret(
    name: _Name,
    /,
    *,
    file: Annotated[
        Path | None, Parameter(metavar="FILE", help="Read the value from a file, byte by byte.")
    ] = None,
    context: Injected,
) -> None:
    """Keep a secret, encrypted, in the place of an earlier one of that name.

    Its value is read from standard input, without the line end at its end; it is never an argument, which other users could see.
    """
    value = _standard_input() if file is None else _content(file)
    if len(value) > _MOST:
        raise RequestError(f"A secret has at most {format_size(_MOST)}.")
    if not value:
        raise RequestError(
            "The value is empty.", hint=f"Give it on standard input: djed secret set {name} < file"
        )
    with context.engine() as engine:
        engine.set_secret(name, value)
    context.console.note(f"Kept the secret {name}")


@app.command(name="list")
def list_secrets(*, json: Json = False, context: Injected) -> None:
    """List the names of the secrets; their values are never shown."""
    with context.engine() as engine:
        names = engine.secrets()
    if json:
        context.console.json(list(names))
        return
    context.console.lines([(name,) for name in names])
    if not names:
        context.console.note("No secrets.")


@app.command(name="rm")
def remove_secret(name: _Name, /, *, context: Injected) -> None:
    """Forget a secret."""
    with context.engine() as engine:
        engine.remove_secret(name)
    context.console.note(f"Removed the secret {name}")


def _standard_input() -> bytes:
    if sys.stdin.isatty():
        return getpass.getpass("Value: ").encode()
    value = sys.stdin.buffer.read(_MOST + 3)
    return value.removesuffix(b"\n").removesuffix(b"\r")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST + 1)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}.") from error
