"""The spelling of names, paths, variables and hardware terms. Each check raises ``ValueError`` with a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable

from djed.intake.faults import WrongValueError, quote
from djed.model.secret import SECRET_NAME

__all__ = [
    "between",
    "check_date",
    "check_digest",
    "check_file_name",
    "check_kernel",
    "check_microarchitecture",
    "check_name",
    "check_os",
    "check_path",
    "check_secret",
    "check_text",
    "check_value",
    "check_variable",
    "check_word",
]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,100}")
_ARCHSPEC = r"[a-z][a-z0-9_]{0,63}"
_MICROARCHITECTURE = re.compile(rf"{_ARCHSPEC}(?:\+|\.\.{_ARCHSPEC})?")
_COMPARISON = r"(?:==|!=|>=|<=|>|<)[ ]*[0-9][A-Za-z0-9._-]{0,40}"
_OS = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,40}}[ ]*(?:{_COMPARISON}(?:[ ]*,[ ]*{_COMPARISON}){{0,5}})?")
_KERNEL = re.compile(rf"{_COMPARISON}(?:[ ]*,[ ]*{_COMPARISON}){{0,5}}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9]{2}:[0-9]{2}:[0-9]{2}|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def between(low: int, high: int) -> Callable[[int], None]:
    """A check that a number lies between the two."""

    def check(value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"{value} is not between {low} and {high}")

    return check


def check_name(text: str) -> None:
    """A name for people: of an inspection, an index, a target, a label."""
    if not _NAME.fullmatch(text):
        raise WrongValueError(
            f"{quote(text)} is not a name",
            hint="A name has 1 to 100 letters, digits, dots, underscores and hyphens.",
        )


def check_text(text: str) -> None:
    """One line of text."""
    if _CONTROL.search(text) or not text.strip() or len(text) > 1000:
        raise ValueError(f"{quote(text)} is not one line of text")


def check_variable(text: str) -> None:
    """The name of an environment variable."""
    if not _VARIABLE.fullmatch(text):
        raise WrongValueError(
            f"{quote(text)} is not the name of a variable",
            hint="A variable has letters, digits and underscores, and does not begin with a digit.",
        )


def check_secret(text: str) -> None:
    """The name of a secret."""
    if not SECRET_NAME.fullmatch(text):
        raise WrongValueError(
            f"{quote(text)} is not the name of a secret",
            hint="It has 1 to 63 letters, digits, underscores, dots and hyphens, and begins with a letter or an underscore.",
        )


def check_value(text: str) -> None:
    """An argument or the value of an environment variable: no NUL, and what fits into an argument vector."""
    if "\0" in text:
        raise ValueError("the text holds a NUL character")
    if len(text.encode()) > 128 * 1024 - 1024:
        raise ValueError("the text is longer than the 127 KiB that a program can be given")


def check_path(text: str) -> None:
    """A relative path in the working directory of a job."""
    if _CONTROL.search(text) or not text or len(text.encode()) > 1000:
        raise ValueError(f"{quote(text)} is not a path")
    if text.startswith("/"):
        raise WrongValueError(
            f"{quote(text)} is an absolute path",
            hint="Files lie in the working directory; write a relative path.",
        )
    steps = text.split("/")
    if ".." in steps:
        raise ValueError(f"{quote(text)} leads out of the working directory")
    if steps[-1] in {"", "."} or any(len(step.encode()) > 255 for step in steps):
        raise ValueError(f"{quote(text)} is not the path of a file")
    if next(step for step in steps if step not in {"", "."}) == "outputs":
        raise WrongValueError(
            f"{quote(text)} lies in outputs, which is what the job leaves behind",
            hint="Choose another folder.",
        )


def check_file_name(text: str) -> None:
    """The name of a distribution file."""
    if _CONTROL.search(text) or "/" in text or text in {"", ".", ".."} or len(text) > 255:
        raise ValueError(f"{quote(text)} is not a file name")


def check_digest(text: str) -> None:
    """A digest of a content."""
    if not _DIGEST.fullmatch(text):
        raise WrongValueError(
            f"{quote(text)} is not a digest", hint="A digest is sha256: and 64 hexadecimal digits."
        )


def check_word(text: str) -> None:
    """An architecture, a CPU flag, a platform."""
    if not _WORD.fullmatch(text):
        raise ValueError(f"{quote(text)} is not a word of letters and digits")


def check_microarchitecture(text: str) -> None:
    """A name of archspec, or a range of them."""
    if not _MICROARCHITECTURE.fullmatch(text):
        raise WrongValueError(
            f"{quote(text)} is not a microarchitecture",
            hint="Write for example zen3, x86_64_v3+ or x86_64_v2..x86_64_v4.",
        )


def check_os(text: str) -> None:
    """An ID of os-release with an optional version."""
    if not _OS.fullmatch(text):
        raise WrongValueError(
            f"{quote(text)} is not an operating system", hint="Write for example debian or debian>=12."
        )


def check_kernel(text: str) -> None:
    """Bounds on a kernel release."""
    if not _KERNEL.fullmatch(text):
        raise WrongValueError(
            f"{quote(text)} is not a bound on the kernel release", hint="Write for example >=5.15."
        )


def check_date(text: str) -> None:
    """A date or an RFC 3339 moment."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    # fromisoformat takes more of ISO 8601 than RFC 3339 has: weeks, no separators, no offset.
    if moment is None or not _DATE.match(text) or (len(text) > 10 and moment.tzinfo is None):
        raise WrongValueError(
            f"{quote(text)} is not a date", hint="Write for example 2026-11-01 or 2026-11-01T12:00:00Z."
        )
