"""Folds the requirements file of an environment into it, by the kind that its name tells."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from djed.errors import RequestError
from djed.intake.document import decode, tidy
from djed.intake.faults import Complain, Faults, Place, UnreadableError, WrongValueError, quote, render
from djed.intake.files import Folder
from djed.intake.shape import WRONG, Check, Reader
from djed.intake.source import Fragment, Source
from djed.model.request import Environment

__all__ = ["Requirements"]

_PLACE: Place = ("environment", "requirements")
_EXTRAS = re.compile(r"(.+?)\[([A-Za-z0-9._-]+(?:\s*,\s*[A-Za-z0-9._-]+)*)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirements:
    """The requirements file of an environment."""

    folder: Folder | None
    checks: Mapping[str, Check]
    faults: Faults
    limit: int
    """Bytes that each file may have."""

    def fold(self, environment: Environment) -> Environment:
        """The environment without ``requirements``: what the file asks for is added to the packages, or is the lock."""
        if environment.requirements is None:
            return environment
        bare = replace(environment, requirements=None)
        match = _EXTRAS.fullmatch(environment.requirements)
        name = match[1] if match else environment.requirements
        extras = tuple(word.strip() for word in match[2].split(",")) if match else ()
        complain = self.faults.at(_PLACE, name)
        try:
            fragment = self._fragment(name, extras)
        except WrongValueError as error:
            self.faults.add(_PLACE, str(error), error.hint)
        except UnreadableError as error:
            complain(str(error), line=error.line)
        except RecursionError:
            complain("it is nested too deeply")
        else:
            return self._merge(bare, self._checked(fragment, complain))
        return bare

    def _fragment(self, name: str, extras: tuple[str, ...]) -> Fragment:
        """What the file asks for. Raises ``WrongValueError``, ``UnreadableError`` or ``RecursionError``."""
        parser = _parser(name)
        if extras and posixpath.basename(name) != "pyproject.toml":
            raise WrongValueError("only a pyproject.toml has extras to pick")
        fragment: Fragment = tidy(parser(replace(self._open(name), extras=extras)))
        return fragment

    def _open(self, name: str) -> Source:
        if self.folder is None:
            raise WrongValueError("a path means nothing here", hint="Send packages, or a lock.")
        content = self.folder.read(name, limit=self.limit)
        try:
            text = decode(name, content.data)
        except RequestError as error:
            raise WrongValueError(error.message.rstrip(".")) from error
        complain, check = self.faults.at(_PLACE, name), self.checks["Environment.packages[]"]
        return Source(name=name, text=text, complain=complain, open=self._open, check=check)

    def _checked(self, fragment: Fragment, complain: Complain) -> Environment:
        """The fragment as a noun, checked as if it had been written in the request."""
        inner = Faults("")
        said = {key: value for key, value in fragment.items() if value is not None}
        found = Reader(self.checks, inner).noun(Environment, said)
        for where, message, hint in inner.found:
            complain(f"{render(where)}: {message}", hint=hint)
        return Environment() if found is WRONG else found

    def _merge(self, environment: Environment, found: Environment) -> Environment:
        """What the request itself says goes before what its file says."""
        if environment.lock is not None and found.lock is not None:
            self.faults.add(_PLACE, "there is a lock in the request already", "Keep one of the two.")
        return replace(
            environment,
            python=environment.python or found.python,
            packages=(*environment.packages, *found.packages),
            constraints=(*environment.constraints, *found.constraints),
            indexes=(*environment.indexes, *found.indexes),
            exclude_newer=environment.exclude_newer or found.exclude_newer,
            lock=environment.lock or found.lock,
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
