"""pyproject.toml (https://packaging.python.org/en/latest/specifications/pyproject-toml/): the dependencies of a project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from djed.intake import tomlfile, uvtable
from djed.intake.faults import Complain, WrongValueError, quote
from djed.intake.source import Fragment, Source, take, texts
from djed.intake.specifications import normalise, requirement

__all__ = ["parse"]


def parse(source: Source) -> Fragment:
    """What the project and the picked extras depend on. Raises ``UnreadableError``."""
    data, _ = tomlfile.parse(source.text)
    complain = source.complain
    if "project" not in data:
        complain("there is no [project] table", hint="Only the standard metadata is read.")
    project = take(data, "project", dict, complain)
    if {"dependencies", "optional-dependencies"} & set(texts(project, "dynamic", complain)):
        complain(
            "the dependencies are dynamic: only the build backend knows them",
            hint="List them in the request.",
        )
    uv = uvtable.read(take(take(data, "tool", dict, complain), "uv", dict, complain), complain)
    packages = [*texts(project, "dependencies", complain), *_extras(project, source.extras, complain)]
    python = take(project, "requires-python", str, complain)
    return {"packages": packages, **({"python": python} if python else {}), **uv}


def _extras(project: Mapping[str, Any], wanted: tuple[str, ...], complain: Complain) -> Iterator[str]:
    """The requirements of extras. An extra may name others as ``project[other]``."""
    optional = {normalise(key): key for key in take(project, "optional-dependencies", dict, complain)}
    own = normalise(take(project, "name", str, complain))
    pending, seen = [normalise(extra) for extra in wanted], set[str]()
    while pending:
        extra = pending.pop(0)
        if extra in seen:
            continue
        seen.add(extra)
        if extra not in optional:
            complain(
                f"there is no extra {quote(extra)}",
                hint=f"There are: {', '.join(optional)}." if optional else None,
            )
            continue
        for text in texts(project["optional-dependencies"], optional[extra], complain):
            inner = _inner(text, own)
            pending += inner
            if not inner:
                yield text


def _inner(text: str, own: str) -> list[str]:
    """The extras that ``text`` asks of the project itself."""
    if "[" not in text or not own:
        return []
    try:
        found = requirement(text, allow_private=True)
    except WrongValueError:
        return []
    return sorted(map(normalise, found.extras)) if normalise(found.name) == own else []
