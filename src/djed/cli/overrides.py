"""Options of ``djed inspect`` laid over a request."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from djed.cli.parameters import Count
from djed.errors import RequestError
from djed.model.request import Environment, Request, Reuse, Run, SandboxLevel

if TYPE_CHECKING:
    from djed.config import Config
    from djed.intake import Submission

__all__ = ["Overrides", "apply", "read"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """What the command line says instead of the request; ``None`` and empty say nothing. Each field is an option."""

    name: Annotated[str | None, Parameter(metavar="NAME", help="Name of the inspection.")] = None
    repeat: Annotated[Count | None, Parameter(metavar="N", help="Measured runs.")] = None
    python: Annotated[str | None, Parameter(metavar="X", help="Python version or specifier.")] = None
    packages: Annotated[
        tuple[str, ...], Parameter(name="--with", metavar="PKG", help="A further package; may be repeated.")
    ] = ()
    sandbox: Annotated[
        SandboxLevel | None, Parameter(metavar="LEVEL", help="The weakest sandbox that is acceptable.")
    ] = None
    reuse: Annotated[
        Reuse | None, Parameter(metavar="WHAT", help="What may be taken from earlier inspections.")
    ] = None
    target: Annotated[
        tuple[str, ...],
        Parameter(metavar="NAME", help="Where to run; may be repeated, in order of preference."),
    ] = ()


def read(path: Path, overrides: Overrides, arguments: tuple[str, ...], config: "Config") -> "Submission":
    """The request in a file or of a script, with the overrides and its script's arguments. Raises ``RequestError``."""
    from djed.intake import read_file, read_mapping
    from djed.model.codec import encode

    found = read_file(path, config=config)
    if overrides == Overrides() and not arguments:
        return found
    # What the command line says is checked like what a file says.
    checked = read_mapping(encode(apply(found.request, overrides, arguments)), config=config)
    return replace(found, request=checked.request)


def apply(request: Request, overrides: Overrides, arguments: tuple[str, ...] = ()) -> Request:
    """The request with the overrides. Raises ``RequestError`` where they do not go together."""
    return replace(
        request,
        name=overrides.name or request.name,
        environment=_environment(request.environment, overrides),
        run=_run(request.run, overrides, arguments),
        sandbox=overrides.sandbox or request.sandbox,
        reuse=overrides.reuse or request.reuse,
    )


def _environment(environment: Environment, overrides: Overrides) -> Environment:
    if overrides.packages and environment.lock is not None:
        raise RequestError(
            "--with cannot add a package to a complete lock.",
            hint="Add it to the lock file, or name a requirements file instead.",
        )
    packages = environment.packages + overrides.packages
    return replace(environment, python=overrides.python or environment.python, packages=packages)


def _run(run: Run | None, overrides: Overrides, arguments: tuple[str, ...]) -> Run | None:
    if run is None:
        if overrides.repeat is not None or overrides.target or arguments:
            raise RequestError(
                "This request only builds; there is nothing to repeat, to place or to give arguments to."
            )
        return None
    return replace(
        run,
        repeat=run.repeat if overrides.repeat is None else overrides.repeat,
        targets=overrides.target or run.targets,
        arguments=arguments or run.arguments,
    )
