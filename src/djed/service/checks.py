"""What is checked of a request before it is accepted, and only known here: words of hardware, what a namespace may name and ask for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from djed.errors import Fault, RequestError
from djed.model.request import Build, File, Request, Run
from djed.service.looking import LOCAL

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.intake.submission import Submission
    from djed.service.engine import Engine

__all__ = [
    "check_base",
    "check_hardware",
    "check_priority",
    "check_secrets",
    "check_shown",
    "check_uploads",
    "files",
]


def check_hardware(request: Request) -> None:
    """Intake knows the shape of a requirement; which words mean something is known here. Raises ``RequestError``."""
    from djed.plan.check import check_requirement, check_resources

    sections: list[tuple[str, Build | Run]] = [("build", request.build)]
    if request.run is not None:
        sections.append(("run", request.run))
    faults = [
        fault
        for name, section in sections
        for fault in (
            *check_requirement(section.hardware, f"{name}.hardware"),
            *check_resources(section.resources, f"{name}.resources"),
        )
    ]
    if faults:
        raise RequestError(
            f"{faults[0].path}: {faults[0].message}.", faults=tuple(faults), hint=faults[0].hint
        )


def check_base(engine: Engine, submission: Submission) -> None:
    """Raise ``RequestError`` for a base that the operator does not let others name: it is read, or fetched, on this machine."""
    base = submission.request.environment.base
    if base == "host" or engine.principal.name == LOCAL:
        return
    from fnmatch import fnmatchcase

    if not any(fnmatchcase(base, pattern) for pattern in engine.config.bases) or "/.." in base:
        message = f"{base!r} is not among the bases that this server allows"
        hint = "Its operator names them in the setting bases."
        foreign = (submission.origin or {}).get("door") == "amun"
        fault = Fault(path="base" if foreign else "environment.base", message=message, hint=hint)
        raise RequestError(f"{fault.path}: {message}.", faults=(fault,), hint=hint)


def check_priority(requests: Sequence[Request], highest: int) -> None:
    """Raise ``RequestError`` where one asks for more than its namespace may."""
    if any(request.priority > highest for request in requests):
        message = f"is above {highest}, the highest that this namespace may ask for"
        raise RequestError(f"priority: {message}.", faults=(Fault(path="priority", message=message),))


def check_secrets(connection: sa.Connection, namespace: str, requests: Sequence[Request]) -> None:
    """Raise ``RequestError`` for a secret that the namespace does not have."""
    for request in requests:
        if request.run and request.run.secrets:
            from djed.store import secrets as stored

            if faults := stored.unknown(connection, namespace, request.run.secrets):
                first = faults[0]
                raise RequestError(f"{first.path}: {first.message}.", faults=faults, hint=first.hint)


def check_shown(engine: Engine, submission: Submission) -> None:
    """Raise ``RequestError`` for a content that the caller's namespace never showed."""
    with engine.store.database.read() as connection:
        check_uploads(engine, connection, [submission.request], submission.contents)


def check_uploads(
    engine: Engine, connection: sa.Connection, requests: Sequence[Request], given: Collection[str]
) -> None:
    """Raise ``RequestError`` for a content that the namespace never showed: who knows the digest of a foreign file gets nothing by it."""
    if engine.principal.name == LOCAL:  # whose own machine it is
        return
    named = {
        file.digest: path
        for request in requests
        for path, file in files(request)
        if file.digest and file.digest not in given
    }
    from djed.store import answers

    for digest in answers.missing_uploads(connection, engine.namespace, named):
        message = f"the content {digest} was not uploaded"
        fault = Fault(path=named[digest], message=message, hint="Upload it first: PUT /v1/files/DIGEST")
        raise RequestError(f"{fault.path}: {message}.", faults=(fault,), hint=fault.hint)


def files(request: Request) -> list[tuple[str, File]]:
    """Every file of a request with its path in it."""
    found = [(f"environment.files[{i}]", file) for i, file in enumerate(request.environment.files)]
    if request.run and isinstance(request.run.script, File):
        found.append(("run.script", request.run.script))
    return found
