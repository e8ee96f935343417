"""Which of a node's Pythons an environment gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from djed.errors import Fault, RefusedError, RequestError
from djed.model.hardware import Interpreter

__all__ = ["choose_interpreter"]


def choose_interpreter(
    interpreters: Sequence[Interpreter], python: str | None = None, requires: Sequence[str] = ()
) -> Interpreter:
    """The newest that satisfies ``python`` and every ``Requires-Python`` in ``requires``; a stable one before any pre-release.

    ``3.11`` is any 3.11, ``3.11.7`` that one, ``>=3.10,<3.13`` a specifier (PEP 440). Without ``python`` a pre-release is never taken.
    Raises ``RequestError`` where a word cannot be read and ``RefusedError`` where nothing fits.
    """
    wanted = [_condition(text) for text in (python, *requires) if text]
    fitting = [one for one in interpreters if all(condition(one.version) for condition in wanted)]
    stable = [one for one in fitting if not _parts(one.version)[1]]
    chosen = max(stable or (fitting if python else []), key=lambda one: _rank(one.version), default=None)
    if chosen is None:
        raise _refusal(interpreters, [text for text in (python, *requires) if text])
    return chosen


def _parts(version: str) -> tuple[tuple[int, ...], str]:
    """Release numbers and what follows them: ``3.14.0rc1`` is ``(3, 14, 0)`` and ``rc1``."""
    numbers, rest = re.fullmatch(r"(\d+(?:\.\d+)*)(.*)", version, re.DOTALL).groups()  # type: ignore[union-attr]
    return tuple(int(number) for number in numbers.split(".")), rest


def _rank(version: str) -> tuple[tuple[int, ...], bool, str]:
    release, rest = _parts(version)
    return release, not rest, rest


def _condition(text: str) -> Callable[[str], bool]:
    """Whether a version is meant by ``text``. Most requests name a version: for those packaging, slow to import, is not needed."""
    word = text.strip().lower().removeprefix("cpython").removeprefix("python").lstrip("@- ")
    if re.fullmatch(r"\d+(\.\d+)?(\.\*)?", word):
        numbers = tuple(int(number) for number in word.removesuffix(".*").split("."))
        return lambda version: _parts(version)[0][: len(numbers)] == numbers
    if word[:1].isdigit():
        word = f"=={word}"
    return _specifier(text, word)


def _specifier(text: str, word: str) -> Callable[[str], bool]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        specifier = SpecifierSet(word)
    except InvalidSpecifier:
        message = f"{text!r} is not a Python version"
        hint = "Write for example 3.11, 3.11.7 or >=3.10,<3.13."
        fault = Fault(path="environment.python", message=message, hint=hint)
        raise RequestError(f"{message}.", faults=(fault,), hint=hint) from None
    return lambda version: specifier.contains(version, prereleases=True)


def _refusal(interpreters: Sequence[Interpreter], asked: Sequence[str]) -> RefusedError:
    there = ", ".join(dict.fromkeys(interpreter.version for interpreter in interpreters)) or "none at all"
    what = " and ".join(asked) or "a stable Python"
    return RefusedError(
        f"No Python here satisfies {what}; there are: {there}.",
        hint="Install one (uv python install), or name its folder in the setting pythons.",
    )
