"""Python requirements (PEP 508) and version specifiers (PEP 440), refused early where uv would refuse them late, or should not see them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from djed.intake.addresses import check_download
from djed.intake.faults import WrongValueError, quote

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = [
    "check_normalised",
    "check_python",
    "check_requirement",
    "check_specifier",
    "check_version",
    "normalise",
    "requirement",
]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"
_RELEASE = r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}"
_CLAUSE = rf"(?:(?:==|!=)[ ]*{_RELEASE}(?:\.\*)?|(?:>=|<=|>|<)[ ]*{_RELEASE}|~=[ ]*[0-9]{{1,9}}(?:\.[0-9]{{1,9}}){{1,5}})"
_CLAUSES = rf"{_CLAUSE}(?:[ ]*,[ ]*{_CLAUSE}){{0,9}}"
# Most requirements are this plain; to import packaging for them would cost a third of the start-up time that we may take.
_PLAIN = re.compile(rf"{_NAME}(?:\[{_NAME}(?:[ ]*,[ ]*{_NAME}){{0,9}}\])?[ ]*(?:{_CLAUSES})?")
_PLAIN_SPECIFIER = re.compile(_CLAUSES)
_PLAIN_VERSION = re.compile(_RELEASE)
_PYTHON = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,3}){0,2}")
_SHELL = re.compile(r"[`$|&\\{}\x00-\x1f\x7f]")
_NORMAL = re.compile(r"[a-z0-9](?:-?[a-z0-9]+){0,99}")


def normalise(name: str) -> str:
    """The normalised form of a package name (https://packaging.python.org/en/latest/specifications/name-normalization/)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_requirement(text: str, *, allow_private: bool = False) -> None:
    """Refuse what is not one requirement of a package from an index or a public https address. Raises ``WrongValueError``."""
    if not _PLAIN.fullmatch(text):
        requirement(text, allow_private=allow_private)


def requirement(text: str, *, allow_private: bool = False) -> Requirement:
    """The requirement in ``text``. Raises ``WrongValueError``."""
    from packaging.requirements import InvalidRequirement, Requirement

    if text.startswith("-"):
        raise WrongValueError(
            f"{quote(text)} is an option, not a requirement",
            hint="Put options of pip into a requirements.txt.",
        )
    if re.match(r"(?:[a-z+]+://|git\+|\.{0,2}/)", text):
        raise WrongValueError(
            f"{quote(text)} is an address or a path, not a requirement",
            hint="Write name @ https://… for a public archive.",
        )
    if len(text) > 2000 or _SHELL.search(text):
        raise WrongValueError(f"{quote(text)} is not a requirement", hint="Write for example numpy>=2.1,<3.")
    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        raise WrongValueError(f"{quote(text)} is not a requirement", hint=_reason(error)) from error
    except RecursionError as error:
        raise WrongValueError(f"{quote(text)} has a marker that is nested too deeply") from error
    if found.url is not None:
        try:
            check_download(found.url, allow_private=allow_private)
        except WrongValueError as error:
            hint = error.hint or "Only public https addresses of archives are possible."
            raise WrongValueError(
                f"{quote(found.name)} comes from an address that is refused: {error}", hint=hint
            ) from error
    return found


def check_python(text: str) -> None:
    """A Python version or specifier. Raises ``WrongValueError``."""
    if not _PYTHON.fullmatch(text):
        try:
            check_specifier(text)
        except WrongValueError as error:
            hint = "Write for example 3.11, 3.11.7 or >=3.10,<3.13."
            raise WrongValueError(f"{quote(text)} is not a Python version", hint=hint) from error


def check_specifier(text: str) -> None:
    """A version specifier. Raises ``WrongValueError``."""
    if _PLAIN_SPECIFIER.fullmatch(text):
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(_sober(text, 1000))
    except (InvalidSpecifier, ValueError) as error:
        raise WrongValueError(
            f"{quote(text)} is not a version specifier", hint="Write for example >=2.1,<3."
        ) from error


def check_version(text: str) -> None:
    """An exact version. Raises ``WrongValueError``."""
    if _PLAIN_VERSION.fullmatch(text):
        return
    from packaging.version import InvalidVersion, Version

    try:
        Version(_sober(text, 200))
    except (InvalidVersion, ValueError) as error:
        raise WrongValueError(f"{quote(text)} is not a version") from error


def check_normalised(text: str) -> None:
    """The normalised name of a package. Raises ``ValueError``."""
    if not _NORMAL.fullmatch(text) or len(text) > 100:
        raise ValueError(f"{quote(text)} is not the normalised name of a package")


def _sober(text: str, length: int) -> str:
    if not text.strip() or len(text) > length or _SHELL.search(text):
        raise ValueError(text[:length])
    return text


def _reason(error: Exception) -> str:
    """The first line of what packaging says, as a sentence of ours."""
    text = str(error).partition("\n")[0].strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."[:200]
