"""Options of ``djed inspect`` laid over a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from djed.errors import RequestError

if TYPE_CHECKING:
    from djed.config import Config
    from djed.intake import Submission
    from djed.model.request import Environment, Request, Reuse, Run, SandboxLevel

__all__ = ["Overrides", "apply", "read"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """What the command line says instead of the request; ``None`` and empty say nothing."""

    name: str | None = None
    repeat: int | None = None
    python: str | None = None
    packages: tuple[str, ...] = ()
    """Added to those of the request."""
    sandbox: SandboxLevel | None = None
    reuse: Reuse | None = None
    targets: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """Of the script."""


def read(path: Path, overrides: Overrides, config: Config) -> Submission:
    """The request in a file or of a script, with the overrides. Raises ``RequestError``."""
    from djed.intake import read_file, read_mapping
    from djed.model.codec import encode

    found = read_file(path, config=config)
    if overrides == Overrides():
        return found
    # What the command line says is checked like what a file says.
    checked = read_mapping(encode(apply(found.request, overrides)), config=config)
    return replace(found, request=checked.request)


def apply(request: Request, overrides: Overrides) -> Request:
    """The request with the overrides. Raises ``RequestError`` where they do not go together."""
    return replace(
        request,
        name=overrides.name or request.name,
        environment=_environment(request.environment, overrides),
        run=_run(request.run, overrides),
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


def _run(run: Run | None, overrides: Overrides) -> Run | None:
    if run is None:
        if overrides.repeat is not None or overrides.targets or overrides.arguments:
            raise RequestError(
                "This request only builds; there is nothing to repeat, to place or to give arguments to."
            )
        return None
    return replace(
        run,
        repeat=run.repeat if overrides.repeat is None else overrides.repeat,
        targets=overrides.targets or run.targets,
        arguments=overrides.arguments or run.arguments,
    )
