"""Pipfile and Pipfile.lock (https://pipenv.pypa.io/en/latest/pipfile.html): the packages for use, not those for development."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from djed.intake import jsonfile, tomlfile
from djed.intake.addresses import is_public_default
from djed.intake.faults import Complain, quote
from djed.intake.source import Fragment, Source, mappings, take, texts
from djed.intake.specifications import normalise

__all__ = ["parse", "parse_lock", "read", "read_lock"]

_ELSEWHERE = ("git", "hg", "svn", "bzr", "path", "file", "editable", "ref")
_MARKERS = (
    "os_name", "sys_platform", "platform_machine", "platform_python_implementation", "platform_release", "platform_system",
    "platform_version", "python_version", "python_full_version", "implementation_name", "implementation_version",
)  # fmt: skip


class _Indexes:
    """The sources. The first is the default; another serves just the packages that name it."""

    def __init__(self, sources: list[dict[str, Any]], complain: Complain) -> None:
        self._urls: dict[str, str] = {}
        self._packages: dict[str, list[str]] = {}
        self._complain = complain
        for source in sources:
            if source.get("verify_ssl") is False:
                complain("verify_ssl = false is not possible", hint="Certificates are always checked.")
            name = take(source, "name", str, complain)
            self._urls[name] = take(source, "url", str, complain)
        self._default = next(iter(self._urls), None)

    def of(self, package: str, entry: Mapping[str, Any]) -> str | None:
        """The name of the index of a package; ``None``: the default."""
        name = take(entry, "index", str, self._complain)
        if not name or name == self._default:
            return None
        if name not in self._urls:
            self._complain(f"{quote(package)} names the index {quote(name)}, which is no source")
            return None
        self._packages.setdefault(name, []).append(normalise(package))
        return name

    def found(self) -> list[dict[str, Any]]:
        """What goes into ``environment.indexes``."""
        named = [
            {"name": name, "url": self._urls[name], "packages": packages}
            for name, packages in self._packages.items()
        ]
        if self._default is None or is_public_default(self._urls[self._default]):
            return named
        return [{"name": self._default, "url": self._urls[self._default]}, *named]


def parse(source: Source) -> Fragment:
    """What a Pipfile asks for. Raises ``UnreadableError``."""
    data, _ = tomlfile.parse(source.text)
    return read(data, source.complain)


def read(data: Mapping[str, Any], complain: Complain) -> Fragment:
    """What a Pipfile asks for, of its tables."""
    indexes = _Indexes(mappings(data, "source", complain), complain)
    packages = []
    for name, entry in take(data, "packages", dict, complain).items():
        table = entry if isinstance(entry, dict) else {"version": entry}
        if _from_index(name, table, complain):
            indexes.of(name, table)
            packages.append(_requirement(name, table, complain))
    return {
        "packages": packages,
        "indexes": indexes.found(),
        **_python(take(data, "requires", dict, complain), complain),
    }


def parse_lock(source: Source) -> Fragment:
    """The lock in a Pipfile.lock. Raises ``UnreadableError``."""
    data, _ = jsonfile.parse(source.text)
    return read_lock(data, source.complain)


def read_lock(data: Any, complain: Complain) -> Fragment:
    """The lock in the value of a Pipfile.lock."""
    if not isinstance(data, Mapping) or "default" not in data:
        complain("this is not a Pipfile.lock: it has no default section")
        return {}
    meta = take(data, "_meta", dict, complain)
    indexes = _Indexes(mappings(meta, "sources", complain), complain)
    packages = []
    for name, entry in take(data, "default", dict, complain).items():
        if not isinstance(entry, dict):
            complain(f"{quote(name)} must be a table")
        elif _from_index(name, entry, complain):
            packages.append(_locked(name, entry, indexes, complain))
    lock = {"origin": "given", "packages": sorted(packages, key=lambda package: str(package["name"]))}
    return {
        "lock": lock,
        "indexes": indexes.found(),
        **_python(take(meta, "requires", dict, complain), complain),
    }


def _from_index(name: str, table: Mapping[str, Any], complain: Complain) -> bool:
    elsewhere = next((key for key in _ELSEWHERE if key in table), None)
    if elsewhere:
        complain(
            f"{quote(name)} comes from a place that is not an index ({elsewhere})",
            hint="Put the package on an index.",
        )
    return elsewhere is None


def _requirement(name: str, table: Mapping[str, Any], complain: Complain) -> str:
    version = take(table, "version", str, complain)
    extras = texts(table, "extras", complain)
    markers = [take(table, "markers", str, complain)]
    markers += [f"{key} {take(table, key, str, complain)}" for key in _MARKERS if key in table]
    text = name + (f"[{','.join(extras)}]" if extras else "") + ("" if version == "*" else version)
    conditions = [marker for marker in markers if marker]
    return text if not conditions else f"{text}; " + " and ".join(f"({marker})" for marker in conditions)


def _locked(name: str, entry: Mapping[str, Any], indexes: _Indexes, complain: Complain) -> dict[str, Any]:
    version = take(entry, "version", str, complain)
    if not version.startswith("=="):
        complain(f"{quote(name)} has no exact version")
    return {
        "name": normalise(name),
        "version": version.removeprefix("=="),
        "index": indexes.of(name, entry),
        "marker": take(entry, "markers", str, complain) or None,
        "extras": texts(entry, "extras", complain),
        "hashes": texts(entry, "hashes", complain),
    }


def _python(requires: Mapping[str, Any], complain: Complain) -> Fragment:
    version = take(requires, "python_full_version", str, complain) or take(
        requires, "python_version", str, complain
    )
    return {"python": version} if version and version != "*" else {}
