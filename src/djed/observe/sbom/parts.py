"""What both formats need: a name for every package, what requires what, licences as SPDX knows them, and the document's own name."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from djed import __version__
from djed.errors import ConfigError
from djed.model.codec import encode
from djed.model.contents import Contents, NativePackage, PythonPackage
from djed.observe.contents.edges import edges, identity
from djed.observe.contents.purl import purl
from djed.toolbox.digest import digest_json

__all__ = [
    "CONTAINERS",
    "Part",
    "digest_of",
    "document_uuid",
    "expression",
    "first_line",
    "moment",
    "parts",
    "requirements",
]

CONTAINERS = frozenset({"image", "sif", "root"})
"""Kinds of contents that are a whole system."""

_LINE = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A package as a document names it."""

    number: int
    """From 0, in the order of the contents: native packages, then Python's."""
    package: NativePackage | PythonPackage
    purl: str

    @property
    def identity(self) -> str:
        """Its name among the edges, which packages of one name share."""
        return identity(self.package)


def parts(contents: Contents) -> tuple[Part, ...]:
    """Every package."""
    packages: tuple[NativePackage | PythonPackage, ...] = (*contents.native, *contents.python)
    return tuple(
        Part(number=number, package=package, purl=purl(package, contents.os_release))
        for number, package in enumerate(packages)
    )


def requirements(contents: Contents, found: tuple[Part, ...]) -> dict[int, tuple[int, ...]]:
    """The numbers of the parts that each part requires, sorted; for those that require something."""
    numbers: dict[str, list[int]] = {}
    for part in found:
        numbers.setdefault(part.identity, []).append(part.number)
    required: dict[int, set[int]] = {}
    for one, other in edges(contents):
        for number in numbers.get(one, ()):
            required.setdefault(number, set()).update(numbers.get(other, ()))
    return {number: tuple(sorted(others)) for number, others in sorted(required.items())}


@cache
def expression(licence: str | None) -> str | None:
    """The licence as an SPDX expression; ``None`` where it is none, or names one that only its author knows."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if not licence or len(licence) > 1000 or "licenseref-" in licence.lower():
        return None
    try:
        return str(canonicalize_license_expression(licence))
    except InvalidLicenseExpression:
        return None


def first_line(text: str) -> str:
    """What a text begins with, in so few words that it can be a name."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= _LINE else line[: _LINE - 1].rstrip() + "…"


def digest_of(contents: Contents) -> str:
    """``sha256:…``: of what was looked into where that has one, else of all that was found."""
    return contents.digest or digest_json(encode(contents))


def document_uuid(contents: Contents) -> uuid.UUID:
    """The same for the same contents, written by the same version of Djed."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"djed:{__version__}:{digest_of(contents)}")


def moment(contents: Contents, environment: Mapping[str, str]) -> str | None:
    """The time that a document bears (RFC 3339): ``SOURCE_DATE_EPOCH``, else when the image was made, where it tells.

    Raises ``ConfigError`` where ``SOURCE_DATE_EPOCH`` is no number of seconds.
    """
    if text := environment.get("SOURCE_DATE_EPOCH"):
        if not re.fullmatch(r"\d{1,11}", text, re.ASCII):
            raise ConfigError(f"SOURCE_DATE_EPOCH is {text!r}, which is no number of seconds since 1970.")
        return _utc(dt.datetime.fromtimestamp(int(text), tz=dt.UTC))
    created = contents.config.get("created")
    if not isinstance(created, str):
        return None
    try:
        made = dt.datetime.fromisoformat(created)
        return _utc(made.replace(tzinfo=made.tzinfo or dt.UTC).astimezone(dt.UTC))
    except (ValueError, OverflowError):
        return None


def _utc(when: dt.datetime) -> str:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")
