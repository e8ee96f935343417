"""``djed recipe``: an environment to be built by hand."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from djed.cli.overrides import Overrides, read
from djed.cli.parameters import Injected
from djed.cli.render.text import bold
from djed.errors import DjedError
from djed.model.preview import RecipeForm

__all__ = ["recipe"]


def recipe(
    target: Annotated[
        str,
        Parameter(
            name="FILE", help="A request file (.yaml, .json, .toml), or a script; or the ID of an inspection."
        ),
    ],
    /,
    *,
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
    form: Annotated[
        RecipeForm,
        Parameter(
            name="--format", help="containerfile, for any container engine; or apptainer, a definition file."
        ),
    ] = "containerfile",
    output: Annotated[
        Path | None, Parameter(metavar="FILE", help="Write to a new file instead of stdout.")
    ] = None,
    context: Injected,
) -> None:
    """Print an environment as a recipe that can be built by hand with any engine.

    Of an inspection with its very stack; the packages of a request are resolved when the recipe is built.
    """
    path = Path(target)
    with context.engine() as engine:
        if path.exists():
            submission = read(path, overrides or Overrides(), context.arguments, context.config)
            text = engine.recipe(submission, form)
        else:
            text = engine.recipe(target, form)
    if output is None:
        context.console.text(text)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise DjedError(f"{output} cannot be written: {error.strerror}.") from error
    context.console.note("Wrote ", bold(str(output)))
