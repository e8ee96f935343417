"""The gates that no other tool holds: sizes, leaks and licences.

Sizes: a module has at most 400 lines and a function at most 50, in src and tests. Leaks: no file names a package registry's
host or a path of the machine that it was written on. Licences: what the project depends on may be combined with Apache-2.0.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["leaks", "licences", "main", "sizes"]

ROOT = Path(__file__).resolve().parent.parent
MODULE_LINES = 400
FUNCTION_LINES = 50

# Put together here, so that this file does not hold what it looks for.
_HOSTS = (
    ("pypi", "org"), ("pythonhosted", "org"), ("pypi", "python", "org"), ("npmjs", "org"), ("npmjs", "com"), ("deb", "debian", "org"),
    ("security", "debian", "org"), ("proxy", "golang", "org"), ("crates", "io"), ("maven", "org"), ("maven", "apache", "org"),
)  # fmt: skip
_PATHS = (("work", "main"), ("work", "shared"), ("root", ""), ("tmp", "p", ""), ("opt", "wheels"))
LEAKS = re.compile(
    "|".join(rf"\b{re.escape('.'.join(parts))}\b" for parts in _HOSTS)
    + "|"
    + "|".join(rf"(?<![\w.~}}-])/{re.escape('/'.join(parts))}" for parts in _PATHS)
)

# SPDX identifiers, and the words that older metadata has for them.
_ALLOWED = re.compile(
    r"(the )?(mit|bsd|apache|isc|python software foundation|psf|mozilla public license 2\.0|mpl|0bsd|zlib|unlicense|public domain)\b"
    r"|.*:: (mit|bsd|apache|isc|python software foundation|mozilla public license 2\.0|zlib|the unlicense)\b",
    re.IGNORECASE,
)
# Where the metadata says too little: what the project's own licence file says, read by a person.
_READ_BY_HAND = {"archspec": "Apache-2.0 OR MIT", "pysqlite3": "Zlib"}
# Copyleft that binds nobody who uses Djed: psycopg is an extra, taken as it is and replaceable (LGPL); amun is no part of Djed, the
# tests drive a server by it as its users do (GPL).
_TAKEN_AS_IT_IS = {"psycopg", "psycopg-binary", "amun"}


def sizes(files: Iterable[Path]) -> Iterator[str]:
    """A sentence for every module and function that is too long. The lines of a function are those of its ``def`` to its end."""
    for file in files:
        text = file.read_text(encoding="utf-8")
        name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        if (lines := text.count("\n")) > MODULE_LINES:
            yield f"{name}: {lines} lines; a module has at most {MODULE_LINES}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > FUNCTION_LINES:
                    yield f"{name}:{node.lineno}: {node.name} has {length} lines; a function has at most {FUNCTION_LINES}"


def leaks(files: Iterable[Path]) -> Iterator[str]:
    """A sentence for every line that names a registry's host or a path of a machine. Files that are not text are skipped."""
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        for number, line in enumerate(text.splitlines(), start=1):
            if found := LEAKS.search(line):
                yield f"{name}:{number}: names {found[0]!r}, which no file may"


def licences(names: Iterable[str]) -> Iterator[str]:
    """A sentence for every installed distribution, and what it needs, whose licence is not one of the allowed."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except ModuleNotFoundError:  # needed on another platform or Python only
            continue
        if name in _TAKEN_AS_IT_IS:
            continue
        words = _READ_BY_HAND.get(name) or " / ".join(_licence(found))
        if not any(_allowed(part) for part in words.split(" / ")):
            yield f"{name} {found.version}: its licence is not one of the allowed: {words[:80] or 'none given'}"
        waiting += [
            _normal(Requirement(line).name) for line in found.requires or () if "extra ==" not in line
        ]


def _licence(found: Distribution) -> list[str]:
    metadata = found.metadata
    (expression,) = metadata.get_all("License-Expression") or [None]
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    return [expression] if expression else [*classifiers, *(metadata.get_all("License") or [])]


def _allowed(expression: str) -> bool:
    """Whether one side of every OR, and every side of each AND, is allowed (SPDX expressions without parentheses or exceptions)."""
    sides = re.split(r"\s+OR\s+", expression.strip("()"))
    return any(
        all(_ALLOWED.match(part.strip("() ")) for part in re.split(r"\s+AND\s+", side)) for side in sides
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _files() -> list[Path]:
    """Every file of the project; what tools keep in hidden folders is not."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name == ".ci" or not name.startswith((".", "__"))]
        found += [Path(folder, name) for name in names]
    return sorted(found)


def _locked(lock: str) -> list[str]:
    lines = (ROOT / "requirements" / lock).read_text(encoding="utf-8").splitlines()
    return [_normal(line.partition("==")[0]) for line in lines if "==" in line and not line.startswith(" ")]


def main() -> int:
    """Print what fails; the exit code says whether anything does."""
    files = _files()
    code = [
        file for file in files if file.suffix == ".py" and file.relative_to(ROOT).parts[0] in {"src", "tests"}
    ]
    failures = [*sizes(code), *leaks(files), *licences(_locked("dev.txt"))]
    for failure in failures:
        print(failure)
    print(
        f"{len(failures)} gates failed."
        if failures
        else f"Sizes, leaks and licences hold ({len(files)} files)."
    )
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
