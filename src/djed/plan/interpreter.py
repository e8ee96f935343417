"""Which of a node's Pythons an environment gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from djed.errors import Fault, RefusedError, RequestError
from djed.model.hardware import Interpreter

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["choose_interpreter"]


def choose_interpreter(
    interpreters: Sequence[Interpreter], python: str | None = None, requires: Sequence[str] = ()
) -> Interpreter:
    """The newest that satisfies ``python`` and every ``Requires-Python`` in ``requires``; a stable one before any pre-release.

    ``3.11`` is any 3.11, ``3.11.7`` that one, ``>=3.10,<3.13`` a specifier (PEP 440). Without ``python`` a pre-release is never taken.
    Raises ``RequestError`` where a word cannot be read and ``RefusedError`` where nothing fits.
    """
    from packaging.version import Version

    wanted = [_specifier(text) for text in (python, *requires) if text]
    versions = {interpreter: Version(interpreter.version) for interpreter in interpreters}
    fitting = [
        interpreter
        for interpreter, version in versions.items()
        if all(specifier.contains(version, prereleases=True) for specifier in wanted)
    ]
    stable = [interpreter for interpreter in fitting if not versions[interpreter].is_prerelease]
    chosen = max(stable or (fitting if python else []), key=lambda one: versions[one], default=None)
    if chosen is None:
        raise _refusal(interpreters, [text for text in (python, *requires) if text])
    return chosen


def _specifier(text: str) -> SpecifierSet:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    word = text.strip().lower().removeprefix("cpython").removeprefix("python").lstrip("@- ")
    if re.fullmatch(r"\d+(\.\d+)?(\.\*)?", word):
        word = f"=={word.removesuffix('.*')}.*"
    elif word[:1].isdigit():
        word = f"=={word}"
    try:
        return SpecifierSet(word)
    except InvalidSpecifier:
        message = f"{text!r} is not a Python version"
        hint = "Write for example 3.11, 3.11.7 or >=3.10,<3.13."
        fault = Fault(path="environment.python", message=message, hint=hint)
        raise RequestError(f"{message}.", faults=(fault,), hint=hint) from None


def _refusal(interpreters: Sequence[Interpreter], asked: Sequence[str]) -> RefusedError:
    there = ", ".join(dict.fromkeys(interpreter.version for interpreter in interpreters)) or "none at all"
    what = " and ".join(asked) or "a stable Python"
    return RefusedError(
        f"No Python here satisfies {what}; there are: {there}.",
        hint="Install one (uv python install), or name its folder in the setting pythons.",
    )
