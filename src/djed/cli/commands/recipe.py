"""``djed recipe``: an environment to be built by hand."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from djed.cli.overrides import Overrides, read
from djed.cli.parameters import Injected
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
    context: Injected,
) -> None:
    """Print an environment as a recipe that can be built by hand with any engine.

    Of an inspection with its very stack; the packages of a request are resolved when the recipe is built.
    """
    path = Path(target)
    with context.engine() as engine:
        if path.exists():
            submission = read(path, overrides or Overrides(), context.arguments, context.config)
            context.console.text(engine.recipe(submission, form))
        else:
            context.console.text(engine.recipe(target, form))
