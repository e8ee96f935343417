"""``[tool.uv]`` of pyproject.toml and inline metadata (https://docs.astral.sh/uv/reference/settings/)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from djed.intake.addresses import is_public_default
from djed.intake.faults import Complain, quote
from djed.intake.source import Fragment, mappings, take, texts
from djed.intake.specifications import normalise

__all__ = ["read"]

_REFUSED = {
    "extra-index-url": "Indexes are never merged: write [[tool.uv.index]] and say in [tool.uv.sources] what comes from it.",
    "find-links": "Put the packages on an index.",
    "no-index": "Leave it out.",
    "override-dependencies": "Write constraint-dependencies, or leave it out.",
}


def read(table: Mapping[str, Any], complain: Complain) -> Fragment:
    """Indexes, constraints and date that uv would use."""
    for key in _REFUSED.keys() & table.keys():
        complain(f"{key} in [tool.uv] is not possible", hint=_REFUSED[key])
    fragment: Fragment = {
        "indexes": list(_indexes(table, complain)),
        "constraints": texts(table, "constraint-dependencies", complain),
    }
    date = table.get("exclude-newer")
    return fragment if date is None else fragment | {"exclude_newer": date}


def _indexes(table: Mapping[str, Any], complain: Complain) -> Iterator[dict[str, Any]]:
    packages = _packages(take(table, "sources", dict, complain), complain)
    if url := take(table, "index-url", str, complain):
        yield from _default("index-url", url)
    for index in mappings(table, "index", complain):
        name, url = take(index, "name", str, complain), take(index, "url", str, complain)
        served = packages.pop(name, [])
        if index.get("default") is True:
            yield from _default(name or "default", url)
        elif served:
            yield {"name": name, "url": url, "packages": served}
        elif index.get("explicit") is not True:
            complain(
                f"the index {quote(name or url)} would be merged with the default",
                hint="Say in [tool.uv.sources] what comes from it.",
            )
    for name in packages:
        complain(f"[tool.uv.sources] names the index {quote(name)}, which is not there")


def _default(name: str, url: str) -> list[dict[str, Any]]:
    return [] if is_public_default(url) else [{"name": name, "url": url}]


def _packages(sources: Mapping[str, Any], complain: Complain) -> dict[str, list[str]]:
    """Packages by index."""
    found: dict[str, list[str]] = {}
    for package, entry in sources.items():
        index = entry.get("index") if isinstance(entry, dict) else None
        if isinstance(index, str) and "marker" not in entry:
            found.setdefault(index, []).append(normalise(package))
        else:
            complain(
                f"{quote(package)} in [tool.uv.sources] is not simply from an index",
                hint='Write { index = "name" }.',
            )
    return found
