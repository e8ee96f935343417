"""What several fields of a request must agree on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from djed.intake.faults import Faults, Place, quote
from djed.intake.specifications import normalise
from djed.model.request import Environment, File, Index, Request

__all__ = ["check_agreement"]


class _Clash(NamedTuple):
    """Two fields that disagree."""

    place: Place
    """Below the place of the check."""
    message: str
    hint: str | None = None


def check_agreement(request: Request, data: Mapping[str, Any], faults: Faults) -> None:
    """Note where fields disagree. ``data`` is what was written: a field with a fault of its own has its default in ``request``."""
    environment, run = request.environment, request.run
    script = run.script if run else None
    for place, clashes in (
        (("environment", "native"), _native(environment)),
        (("build", "package"), _package(request)),
        (("environment", "indexes"), _indexes(environment.indexes)),
        (("environment", "files"), _files(environment.files, script)),
        (("environment", "lock"), _lock(environment)),
    ):
        # Positions are those of the file only as long as nothing was left out.
        if not faults.under(place):
            _note(place, clashes, faults)
    _note(("run",), _script_or_command(data.get("run")), faults)


def _note(place: Place, clashes: Iterator[_Clash], faults: Faults) -> None:
    for clash in clashes:
        faults.add((*place, *clash.place), clash.message, clash.hint)


def _script_or_command(run: Any) -> Iterator[_Clash]:
    if not isinstance(run, Mapping):
        return
    script, command = run.get("script") is not None, bool(run.get("command"))
    if script and command:
        yield _Clash(("command",), "there is a script and a command", "Keep one of them.")
    elif not script and not command:
        yield _Clash((), "there is neither a script nor a command", "Leave run out to build only.")
    if command and run.get("arguments"):
        yield _Clash(("arguments",), "only a script takes arguments", "Append them to the command.")


def _native(environment: Environment) -> Iterator[_Clash]:
    if environment.native and environment.base == "host":
        yield _Clash(
            (),
            "native packages cannot be added to the host, which other inspections share",
            "Install them on the machine, or take packages that bring their own libraries.",
        )


def _package(request: Request) -> Iterator[_Clash]:
    asked = request.build.package
    for number, kind in enumerate(asked):
        if kind in asked[:number]:
            yield _Clash((number,), f"{quote(kind)} is there twice")
        if kind != "archive" and request.environment.base == "host":
            yield _Clash(
                (number,),
                f"the host cannot be packaged as {quote(kind)}",
                "Name an image as environment.base.",
            )


def _indexes(indexes: tuple[Index, ...]) -> Iterator[_Clash]:
    names: set[str] = set()
    owners: dict[str, str] = {}
    default: str | None = None
    for number, index in enumerate(indexes):
        if index.name in names:
            yield _Clash((number, "name"), f"the name {quote(index.name)} is there twice")
        names.add(index.name)
        if not index.packages and default is not None:
            message = f"both {quote(default)} and {quote(index.name)} would replace the default index"
            hint = "Indexes are never merged; say which packages come from this one."
            yield _Clash((number, "packages"), message, hint)
        default = default if index.packages else index.name
        for package in map(normalise, index.packages):
            if owners.setdefault(package, index.name) != index.name:
                message = f"{quote(package)} comes from {quote(owners[package])} already"
                yield _Clash((number, "packages"), message, "A package has one index.")


def _files(files: tuple[File, ...], script: File | str | None) -> Iterator[_Clash]:
    taken: set[str] = set()
    folders: set[str] = set()
    for number, file in enumerate(files):
        steps = _steps(file.path)
        path, above = "/".join(steps), {"/".join(steps[:length]) for length in range(1, len(steps))}
        if path in taken or path in folders or not above.isdisjoint(taken):
            yield _Clash((number, "path"), f"{quote(file.path)} is in the place of another file")
        taken.add(path)
        folders |= above
    if isinstance(script, File) and "/".join(_steps(script.path)) in taken | folders:
        yield _Clash((), f"the script has the path of one of the files, {quote(script.path)}")


def _lock(environment: Environment) -> Iterator[_Clash]:
    if environment.lock is None:
        return
    if environment.packages or environment.constraints:
        message = "there is a complete lock, and packages or constraints beside it"
        yield _Clash((), message, "Keep the lock, or let Djed lock the packages.")
    indexes = {index.name for index in environment.indexes} | {None}
    names: set[str] = set()
    for package in environment.lock.packages:
        if package.index not in indexes:
            yield _Clash(
                ("packages",), f"{quote(package.name)} is from {quote(package.index)}, which is no index here"
            )
        if package.marker is None and package.name in names:
            yield _Clash(("packages",), f"{quote(package.name)} is locked twice")
        if package.marker is None:
            names.add(package.name)


def _steps(path: str) -> list[str]:
    return [step for step in path.split("/") if step not in {"", "."}]
