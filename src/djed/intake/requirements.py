"""requirements.txt (https://pip.pypa.io/en/stable/reference/requirements-file-format/).

Where every requirement is pinned and hashed, the file is a lock. Its options are those that say what is wanted; those that change how
pip works are refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from djed.intake.addresses import is_public_default
from djed.intake.faults import Complain, WrongValueError, quote
from djed.intake.source import Fragment, Source
from djed.intake.specifications import normalise, requirement

__all__ = ["parse"]

_NESTED = 16
_LINES = 10_000
_COMMENT = re.compile(r"(?:^|\s)#.*")
_OPTION = re.compile(r"(--[a-z-]+|-[a-z]) ?=? ?(.*)")
_REFUSED = {
    "--extra-index-url": "Indexes are never merged: name the index under indexes, with the packages that come from it.",
    "--find-links": "Put the packages on an index, or write name @ https://… for a public archive.",
    "--editable": "Put the package on an index, or send its files with the request.",
    "--trusted-host": "Certificates are always checked.",
}
_LONG = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-i": "--index-url",
    "-e": "--editable",
    "-f": "--find-links",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """One requirement and where it stands."""

    text: str
    hashes: tuple[str, ...]
    number: int
    complain: Complain


@dataclass(slots=True)
class _Found:
    """What was read so far, over all files."""

    requirements: list[_Line] = field(default_factory=list)
    constraints: list[_Line] = field(default_factory=list)
    index: str | None = None
    hashed: bool = False
    lines: int = 0
    seen: set[tuple[str, bool]] = field(default_factory=set)


def parse(source: Source) -> Fragment:
    """The packages and constraints, or the lock, that the file and all that it includes ask for."""
    found = _Found(seen={(source.name, False)})
    _read(source, found, constraint=False, depth=0)
    fragment: Fragment = {}
    if found.index is not None and not is_public_default(found.index):
        fragment["indexes"] = [{"name": "index", "url": found.index}]
    if found.hashed or any(line.hashes for line in found.requirements):
        packages = [package for line in found.requirements if (package := _locked(line)) is not None]
        return fragment | {
            "lock": {
                "origin": "given",
                "packages": sorted(packages, key=lambda package: str(package["name"])),
            }
        }
    return fragment | {
        "packages": [line.text for line in found.requirements],
        "constraints": [line.text for line in found.constraints],
    }


def _read(source: Source, found: _Found, *, constraint: bool, depth: int) -> None:
    for number, line in _logical_lines(source.text):
        found.lines += 1
        if found.lines > _LINES:
            source.complain(f"there are more than {_LINES} lines", line=number)
            return
        try:
            if line.startswith("-"):
                _option(line, source, found, constraint=constraint, depth=depth)
            else:
                (found.constraints if constraint else found.requirements).append(
                    _requirement(line, number, source)
                )
        except WrongValueError as error:
            source.complain(str(error), line=number, hint=error.hint)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, continuations joined, each run of blanks one blank; with the number of the first line."""
    pending: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        continued = line.endswith("\\") and not line.lstrip().startswith("#")
        pending.append(line[:-1] if continued else line)
        if not continued:
            whole = " ".join(_COMMENT.sub("", " ".join(pending)).split())
            if whole:
                yield number - len(pending) + 1, whole
            pending = []


def _option(line: str, source: Source, found: _Found, *, constraint: bool, depth: int) -> None:
    match = _OPTION.fullmatch(line)
    name = _LONG.get(match[1], match[1]) if match else line
    value = match[2] if match else ""
    if name in {"--requirement", "--constraint"} and value:
        _include(value, source, found, constraint=constraint or name == "--constraint", depth=depth)
    elif name == "--index-url" and value:
        found.index = value
    elif line == "--require-hashes":
        found.hashed = True
    else:
        raise WrongValueError(f"the option {quote(name)} is not possible here", hint=_REFUSED.get(name))


def _include(value: str, source: Source, found: _Found, *, constraint: bool, depth: int) -> None:
    if "://" in value:
        raise WrongValueError(
            f"{quote(value)} is an address", hint="Only files next to the request can be included."
        )
    if depth >= _NESTED:
        raise WrongValueError(f"files include files more than {_NESTED} deep")
    name = posixpath.normpath(posixpath.join(posixpath.dirname(source.name), value))
    # A file that was read already adds nothing, be it included twice or in a circle.
    if (name, constraint) not in found.seen:
        found.seen.add((name, constraint))
        _read(source.open(name), found, constraint=constraint, depth=depth + 1)


def _requirement(line: str, number: int, source: Source) -> _Line:
    text, *options = line.split(" -")
    hashes = tuple(option.removeprefix("-hash")[1:].strip() for option in options)
    if any(not option.startswith(("-hash=", "-hash ")) for option in options) or not all(hashes):
        raise WrongValueError(
            f"{quote(line)} has an option that is not possible here",
            hint="Only --hash can follow a requirement.",
        )
    source.check(text)
    return _Line(text=text, hashes=hashes, number=number, complain=source.complain)


def _locked(line: _Line) -> dict[str, Any] | None:
    """The locked package, or ``None`` and a complaint where the requirement is not pinned and hashed."""
    found = requirement(line.text, allow_private=True)
    pins = list(found.specifier)
    if not line.hashes:
        line.complain(
            f"{quote(line.text)} has no hash, though others have",
            line=line.number,
            hint="Hash all of them or none.",
        )
    elif len(pins) != 1 or pins[0].operator != "==" or pins[0].version.endswith(".*"):
        line.complain(
            f"{quote(line.text)} has a hash but no exact version", line=line.number, hint="Pin it with ==."
        )
    else:
        return {
            "name": normalise(found.name),
            "version": pins[0].version,
            "marker": str(found.marker) if found.marker else None,
            "extras": sorted(found.extras),
            "hashes": list(line.hashes),
        }
    return None
