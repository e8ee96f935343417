"""Requirements of native packages, resolved among those that are installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from djed.model.contents import NativePackage
from djed.observe.contents.debversion import satisfies

__all__ = ["apk_edges", "deb_edges", "rpm_edges"]

# libc6:amd64 (>= 2.34) [amd64] <!nocheck>
_DEB = re.compile(r"([^\s:(\[<]+)(?::\S+)?\s*(?:\(\s*([<>=]+)\s*([^\s)]+)\s*\))?")
_APK = re.compile(r"[^<>=~@]+")
_RICH = re.compile(r"[()]|[^\s()]+(?:\([^\s()]*\))*")
_MAX_RICH = 200

Provided = Mapping[str, Sequence[str]]
"""The packages that provide something, by its name."""


def deb_edges(packages: Sequence[NativePackage]) -> Iterator[tuple[str, str]]:
    """By name and version, alternatives in their order, else by ``Provides`` (Debian Policy 7.5: a version is met only by a version)."""
    versions: dict[str, list[str]] = {}
    provided: dict[str, list[tuple[str, str]]] = {}
    for package in packages:
        versions.setdefault(package.name, []).append(package.version)
        for line in package.provides:
            if found := _DEB.match(line):
                provided.setdefault(found[1], []).append((package.name, found[3] or ""))
    for package in packages:
        for line in (*package.pre_depends, *package.depends):
            for name in _deb_target(line, versions, provided):
                yield package.name, name


def _deb_target(
    line: str, versions: Mapping[str, list[str]], provided: Mapping[str, list[tuple[str, str]]]
) -> list[str]:
    for alternative in line.split("|"):
        found = _DEB.match(alternative.strip())
        if found is None:
            continue
        name, sign, wanted = found[1], found[2], found[3]
        if any(not sign or satisfies(version, sign, wanted) for version in versions.get(name, ())):
            return [name]
        by = [
            provider
            for provider, version in provided.get(name, ())
            if not sign or (version and satisfies(version, sign, wanted))
        ]
        if by:
            return by
    return []


def apk_edges(packages: Sequence[NativePackage]) -> Iterator[tuple[str, str]]:
    """By name or by what is provided (``so:libc.musl-x86_64.so.1``, ``cmd:sh``); what starts with ``!`` is a conflict."""
    provided = _provided(
        (package.name, _apk_name(line)) for package in packages for line in (package.name, *package.provides)
    )
    for package in packages:
        for line in package.depends:
            if not line.startswith("!"):
                for name in provided.get(_apk_name(line), ()):
                    yield package.name, name


def _apk_name(line: str) -> str:
    found = _APK.match(line)
    return found[0] if found else ""


def rpm_edges(packages: Sequence[NativePackage]) -> Iterator[tuple[str, str]]:
    """By what is provided, and by paths; of a rich requirement (``(a or b)``, ``(a if b)``) what holds here."""
    provided = _provided(
        (package.name, line.partition(" ")[0])
        for package in packages
        for line in (package.name, *package.provides, *package.paths)
    )
    for package in packages:
        for line in package.depends:
            for name in _rpm_targets(line, provided):
                yield package.name, name


def _rpm_targets(line: str, provided: Provided) -> Sequence[str]:
    if line.startswith("("):
        return _rich(_RICH.findall(line), provided)
    return provided.get(line.partition(" ")[0], ())


def _provided(pairs: Iterable[tuple[str, str]]) -> Provided:
    found: dict[str, dict[str, None]] = {}
    for package, name in pairs:
        found.setdefault(name, {})[package] = None
    return {name: tuple(packages) for name, packages in found.items()}


def _rich(tokens: list[str], provided: Provided) -> list[str]:
    """The packages by which a rich requirement holds (rpm's ``docs/manual/boolean_dependencies.md``); none where it is broken."""
    if len(tokens) > _MAX_RICH:
        return []
    try:
        return _Rich(tokens, provided).group()
    except IndexError:
        return []


class _Rich:
    """Reads the tokens of a rich requirement from the left. Raises ``IndexError`` where they end too early."""

    def __init__(self, tokens: list[str], provided: Provided) -> None:
        self._tokens = tokens[::-1]
        self._provided = provided

    def group(self) -> list[str]:
        """The packages for what stands between two brackets, the first of which is next."""
        self._tokens.pop()
        operands = [self._operand()]
        operators: list[str] = []
        while (operator := self._tokens.pop()) != ")":
            operators.append(operator)
            operands.append(self._operand())
        first = operators[0] if operators else "and"
        if first == "or":
            return next((names for names in operands if names), [])
        if first in {"if", "unless"}:
            return self._conditional(operands, negated=first == "unless")
        if first in {"with", "without"}:
            others = set(operands[1])
            return [name for name in operands[0] if (name in others) == (first == "with")]
        return [name for names in operands for name in names]

    @staticmethod
    def _conditional(operands: list[list[str]], *, negated: bool) -> list[str]:
        """``a if b else c``, ``a unless b else c``."""
        if bool(operands[1]) != negated:
            return operands[0]
        return operands[2] if len(operands) > 2 else []

    def _operand(self) -> list[str]:
        if self._tokens[-1] == "(":
            return self.group()
        name = self._tokens.pop()
        if self._tokens[-1] in {"<", "<=", "=", ">=", ">"}:
            del self._tokens[-2:]
        return list(self._provided.get(name, ()))
