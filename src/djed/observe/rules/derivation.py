"""uv's proof that requirements cannot be met, read into facts (uv 0.13; the wording is that of its PubGrub reporter).

A proof is a chain of sentences ``Because A and B, we can conclude that C. And because D, we can conclude that …``. What stands before
``we can conclude`` is a premise: something that the user asked for or that an index says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Demand", "Derivation", "name", "read"]

_START = re.compile(r"No solution found when resolving")
# uv 0.13 writes "cause:" before each cause; up to 0.9 it drew a tree.
_DECORATION = re.compile(r"^\s*(?:cause:|[\u00d7\u2500-\u257f\u25b6]{1,4})?\s*")
# A requirement as uv writes it: name, extras, bounds (markers are taken out before). It begins at the start of a word and gives
# nothing back, so that the time is linear.
_REQUIREMENT = (
    r"(?<![A-Za-z0-9._<>=!~,\[\]-])[A-Za-z0-9][A-Za-z0-9._-]{0,200}+(?:\[[^\]\s]{1,200}+\])?"
    r"(?:[<>=!~][^\s,]{1,200}+(?:,[<>=!~][^\s,]{1,200}+){0,20}+)?+"
)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MARKER = re.compile(r"\{[^}]{1,300}\}")
_DEPENDS = re.compile(rf"({_REQUIREMENT}) (?:all )?depends? on ({_REQUIREMENT})")
_REQUIRES = re.compile(r"you require ")
# The lock job puts the requirements into a project of this name: what it depends on is what the user asked for.
_ROOT = re.compile(r"(?:djed-environment-root|your project) depends? on ")
_TOKEN = re.compile(_REQUIREMENT)
_CONCLUSION = re.compile(r",? we can conclude that ")
# Words of the proof that could pass for names of packages.
_WORDS = frozenset({"and", "or", "any", "all", "one", "of", "of:", "we", "you", "require", "because"})
_UNKNOWN = re.compile(
    rf"({_REQUIREMENT}) was not found in (?:the (?:package registry|provided package locations|cache)|any index)"
)
_NO_VERSION = re.compile(rf"there (?:is|are) no versions? of ({_REQUIREMENT})")
_ONLY = re.compile(rf"only ({_REQUIREMENT}) (?:is|are) available")
_ONLY_LIST = re.compile(r"only the following versions of ([A-Za-z0-9._-]{1,200}) are available: ")
_PYTHON = re.compile(
    r"(?:requested|current) Python version \(([^)]{1,100})\) does not satisfy Python([<>=!~][^\s]{1,100})"
)
_NEEDS_PYTHON = re.compile(
    rf"({_REQUIREMENT}) (?:all )?(?:depends? on|requires?) Python ?([<>=!~][^\s,]{{1,100}})"
)
_NO_WHEEL = re.compile(
    rf"({_REQUIREMENT}) (?:has|have) (?:no (?:usable )?wheels|no wheels with)([^,]{{0,200}})"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Somebody needs a package within bounds."""

    who: str
    """``you``, or the package that needs it, as ``pandas==2.2.3``."""
    package: str
    requirement: str
    """Name and bounds, as ``numpy>=1.23.2``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Derivation:
    """What a proof says."""

    lines: tuple[str, ...]
    """Its first line, its last ones, which conclude, and the hints."""
    demands: tuple[Demand, ...] = ()
    """In order of the proof; later ones sum up earlier ones."""
    unknown: tuple[str, ...] = ()
    """Packages that no index has."""
    missing: tuple[str, ...] = ()
    """Requirements that no version meets."""
    available: tuple[str, ...] = ()
    """What there is instead."""
    pythons: tuple[tuple[str, str], ...] = ()
    """The Python at hand and the bounds that it does not meet."""
    needs_python: tuple[tuple[str, str], ...] = ()
    """Requirement and the bounds of its Python."""
    no_wheel: tuple[tuple[str, str], ...] = ()
    """Requirement and what is wrong with its wheels."""


def read(log: Sequence[str]) -> Derivation | None:
    """The last proof in a log, ``None`` where there is none."""
    starts = [position for position, line in enumerate(log) if _START.search(line)]
    if not starts:
        return None
    # A build that needs a lock of its own proves first; the last proof is about what failed.
    lines = tuple(log[starts[-1] :][:400])
    hints = [line for line in lines if line.startswith("hint:")]
    proof = [line for line in _proof(lines) if line.strip()]
    words = " ".join(_DECORATION.sub("", line) for line in proof)
    # Bounds are written apart only in lists; the marker of a requirement says nothing about who wants what.
    text = _ROOT.sub("you require ", _MARKER.sub("", re.sub(r"\s{1,1000}", " ", words))[:60_000])
    return Derivation(
        lines=(*proof[:1], *proof[1:][-6:], *hints),
        demands=_demands(text),
        unknown=tuple(dict.fromkeys(_UNKNOWN.findall(text))),
        missing=tuple(dict.fromkeys(_NO_VERSION.findall(text))),
        available=_available(text),
        pythons=tuple(_PYTHON.findall(text)),
        needs_python=tuple(_NEEDS_PYTHON.findall(text)),
        no_wheel=tuple(_NO_WHEEL.findall(text)),
    )


def name(requirement: str) -> str:
    """The package of a requirement, without extras and bounds."""
    match = _NAME.match(requirement)
    return match[0] if match else requirement


def _proof(lines: Sequence[str]) -> list[str]:
    """The lines up to the first hint."""
    kept: list[str] = []
    for line in lines:
        if line.lstrip().startswith("hint:"):
            break
        kept.append(line)
    return kept


def _demands(text: str) -> tuple[Demand, ...]:
    found: list[Demand] = []
    for sentence in re.split(r"(?:\. )?(?:And b|B)ecause ", text):
        premises = _CONCLUSION.split(sentence, maxsplit=1)[0]
        found += [
            Demand(who=who, package=name(needed), requirement=needed)
            for who, needed in _DEPENDS.findall(sentence)
            if name(needed) != "Python" and who not in _WORDS
        ]
        # Only in a premise: "we can conclude that you require" says what follows, not what anybody asked for.
        for wish in _REQUIRES.split(premises)[1:]:
            found += [Demand(who="you", package=name(token), requirement=token) for token in _wishes(wish)]
    wishes = {demand.package: demand.requirement for demand in found if demand.who == "you"}
    # "all versions of top depend on" says less than the version that the user asked for.
    named = [replace(demand, who=wishes.get(demand.who, demand.who)) for demand in found]
    return tuple(dict.fromkeys(named))


def _wishes(text: str) -> list[str]:
    """The requirements that follow ``you require``: ``A``, ``A and B``, ``all of: A B C``."""
    wishes: list[str] = []
    for word in text.split():
        token = _TOKEN.fullmatch(word.rstrip(",."))
        if word.lower() in _WORDS:
            continue
        if token is None or word in {"there", "only", "the"}:
            break
        wishes.append(token[0])
        if word.endswith((".", ",")):
            break
    return wishes


def _available(text: str) -> tuple[str, ...]:
    found = _ONLY.findall(text)
    for match in _ONLY_LIST.finditer(text):
        for word in text[match.end() :][:4000].split():
            if name(word) != match[1]:
                break
            found.append(word.rstrip(",."))
    return tuple(dict.fromkeys(found))
