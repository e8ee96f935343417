"""Options of ``djed inspect`` laid over a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from djed.errors import RequestError

if TYPE_CHECKING:
    from djed.cli.context import Context
    from djed.intake import Submission
    from djed.model.request import Request, Reuse, Run, SandboxLevel

__all__ = ["Overrides", "apply", "submission"]

_REQUEST_FILES = frozenset({".yaml", ".yml", ".json", ".toml"})


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


def submission(path: Path, overrides: Overrides, context: Context) -> Submission:
    """Read a request file or a script and lay the overrides over it. Raises ``RequestError``."""
    from djed.intake import read_file, read_script

    if path.suffix.lower() in _REQUEST_FILES:
        read = read_file(path, config=context.config)
        if context.arguments:
            read = replace(read, request=_with_arguments(read.request, context.arguments))
    else:
        read = read_script(path, config=context.config, arguments=context.arguments)
    return replace(read, request=apply(read.request, overrides))


def apply(request: Request, overrides: Overrides) -> Request:
    """The request with the overrides. Raises ``RequestError`` where they do not fit it."""
    environment = request.environment
    if overrides.packages and environment.lock is not None:
        raise RequestError(
            "--with cannot add to a complete lock.",
            hint="Add the package to the lock file, or leave the lock out.",
        )
    environment = replace(
        environment,
        python=overrides.python or environment.python,
        packages=environment.packages + overrides.packages,
    )
    return replace(
        request,
        name=overrides.name or request.name,
        environment=environment,
        run=_run(request.run, overrides),
        sandbox=overrides.sandbox or request.sandbox,
        reuse=overrides.reuse or request.reuse,
    )


def _run(run: Run | None, overrides: Overrides) -> Run | None:
    if overrides.repeat is not None and overrides.repeat < 1:
        raise RequestError("--repeat must be at least 1.")
    if run is None:
        if overrides.repeat or overrides.targets:
            raise RequestError("--repeat and --target need something to run, and this request only builds.")
        return None
    return replace(run, repeat=overrides.repeat or run.repeat, targets=overrides.targets or run.targets)


def _with_arguments(request: Request, arguments: tuple[str, ...]) -> Request:
    if request.run is None:
        raise RequestError("There is no script that could take these arguments; this request only builds.")
    return replace(request, run=replace(request.run, arguments=arguments))
