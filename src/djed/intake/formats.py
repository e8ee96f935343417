"""Folds the requirements file of an environment into it, by the kind that its name tells."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from djed.errors import RequestError
from djed.intake.document import decode, tidy
from djed.intake.faults import Complain, Faults, Place, UnreadableError, WrongValueError, quote, render
from djed.intake.files import Folder
from djed.intake.shape import WRONG, Check, Reader
from djed.intake.source import Fragment, Source
from djed.model.request import Environment

__all__ = ["fold"]

_PLACE: Place = ("environment", "requirements")
_EXTRAS = re.compile(r"(.+?)\[([A-Za-z0-9._-]+(?:\s*,\s*[A-Za-z0-9._-]+)*)\]")


def fold(
    environment: Environment, folder: Folder | None, checks: Mapping[str, Check], faults: Faults
) -> Environment:
    """The environment without ``requirements``: what the file asks for is added to the packages, or is the lock."""
    if environment.requirements is None:
        return environment
    bare = replace(environment, requirements=None)
    match = _EXTRAS.fullmatch(environment.requirements)
    name = match[1] if match else environment.requirements
    complain = faults.at(_PLACE, name)
    try:
        extras = tuple(re.split(r"\s*,\s*", match[2])) if match else ()
        fragment = _fragment(name, extras, folder, check=checks["Environment.packages[]"], faults=faults)
    except WrongValueError as error:
        faults.add(_PLACE, str(error), error.hint)
    except UnreadableError as error:
        complain(str(error), line=error.line)
    except RecursionError:
        complain("it is nested too deeply")
    else:
        return _merge(bare, _checked(fragment, checks, complain), faults)
    return bare


def _fragment(
    name: str, extras: tuple[str, ...], folder: Folder | None, *, check: Check, faults: Faults
) -> Fragment:
    """What the file asks for, as plain values. Raises ``WrongValueError``, ``UnreadableError`` or ``RecursionError``."""
    if folder is None:
        raise WrongValueError("a path means nothing here", hint="Send packages, or a lock.")
    if extras and posixpath.basename(name) != "pyproject.toml":
        raise WrongValueError("only a pyproject.toml has extras to pick")
    parser = _parser(name)
    fragment: Fragment = tidy(parser(replace(_source(name, folder, check, faults), extras=extras)))
    return fragment


def _source(name: str, folder: Folder, check: Check, faults: Faults) -> Source:
    content = folder.read(name)
    try:
        text = decode(name, content.data)
    except RequestError as error:
        raise WrongValueError(error.message.rstrip(".")) from error
    return Source(
        name=name,
        text=text,
        complain=faults.at(_PLACE, name),
        open=lambda other: _source(other, folder, check, faults),
        check=check,
    )


def _parser(name: str) -> Callable[[Source], Fragment]:
    """The parser for a file of that name, imported only when needed."""
    base = posixpath.basename(name)
    if base in {"Pipfile", "Pipfile.lock"}:
        from djed.intake import pipfile

        return pipfile.parse if base == "Pipfile" else pipfile.parse_lock
    if base == "pyproject.toml":
        from djed.intake import pyproject

        return pyproject.parse
    if re.fullmatch(r"pylock(\.[^.]+)?\.toml", base):
        from djed.intake import pylock

        return pylock.parse
    if base.endswith((".toml", ".lock", ".json", ".yaml", ".yml", ".cfg", ".py")):
        raise WrongValueError(
            f"{quote(base)} is no requirements file that Djed knows",
            hint="Known are requirements.txt, Pipfile, Pipfile.lock, pyproject.toml and pylock.toml.",
        )
    from djed.intake import requirements

    return requirements.parse


def _checked(fragment: Fragment, checks: Mapping[str, Check], complain: Complain) -> Environment:
    """The fragment as a noun, checked as if it had been written in the request."""
    inner = Faults("")
    said = {key: value for key, value in fragment.items() if value is not None}
    found = Reader(checks, inner).noun(Environment, said)
    for where, message, hint in inner.found:
        complain(f"{render(where)}: {message}", hint=hint)
    return Environment() if found is WRONG else found


def _merge(environment: Environment, found: Environment, faults: Faults) -> Environment:
    """What the request itself says goes before what its file says."""
    if environment.lock is not None and found.lock is not None:
        faults.add(_PLACE, "there is a lock in the request already", "Keep one of the two.")
    return replace(
        environment,
        python=environment.python or found.python,
        packages=(*environment.packages, *found.packages),
        constraints=(*environment.constraints, *found.constraints),
        indexes=(*environment.indexes, *found.indexes),
        exclude_newer=environment.exclude_newer or found.exclude_newer,
        lock=environment.lock or found.lock,
    )
