"""What differs between the contents of two things that were looked into."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from djed.model.contents import Contents, NativePackage
from djed.model.difference import Change, ContentsDifference

__all__ = ["contents_difference", "native_changes"]

_SEPARATORS = re.compile(r"[-_.]+")
_SYSTEM = {"os": "ID", "os_version": "VERSION_ID", "os_name": "PRETTY_NAME"}
_SETTINGS = ("architecture", "user", "workdir", "entrypoint", "command")


def contents_difference(a: Contents, b: Contents) -> ContentsDifference:
    """Only what differs; packages by name, whatever else is told of them."""
    layers_a, layers_b = ({layer.digest: layer.size for layer in side.layers} for side in (a, b))
    shared = layers_a.keys() & layers_b.keys()
    return ContentsDifference(
        system=_changes(_system(a), _system(b)),
        native=native_changes(a.native, b.native),
        python=_changes(_python(a), _python(b)),
        variables=_changes(_mapping(a.config.get("variables")), _mapping(b.config.get("variables"))),
        settings=_changes(_settings(a), _settings(b)),
        symbols=_symbols(a, b),
        layers=_changes(layers_a, layers_b),
        shared_layers=len(shared),
        shared_size=sum(layers_a[digest] for digest in shared),
    )


def native_changes(a: Iterable[NativePackage], b: Iterable[NativePackage]) -> tuple[Change, ...]:
    """Native packages that were added, removed or are of another version."""
    return _changes(_native(a), _native(b))


def _native(packages: Iterable[NativePackage]) -> dict[str, str]:
    """Versions by name; where a package is there more than once, each with its architecture."""
    found: dict[str, list[NativePackage]] = {}
    for package in packages:
        found.setdefault(package.name, []).append(package)
    return {
        name: same[0].version
        if len(same) == 1
        else ", ".join(
            sorted(f"{item.version} ({item.arch})" if item.arch else item.version for item in same)
        )
        for name, same in found.items()
    }


def _python(contents: Contents) -> dict[str, str]:
    """Versions by normalised name; where a distribution is there more than once, each with its folder."""
    found: dict[str, list[tuple[str, str]]] = {}
    for item in contents.python:
        name = _SEPARATORS.sub("-", item.name).lower()
        found.setdefault(name, []).append((item.version, item.location))
    return {
        name: same[0][0]
        if len(same) == 1
        else ", ".join(sorted(f"{version} ({where})" for version, where in same))
        for name, same in found.items()
    }


def _system(contents: Contents) -> dict[str, Any]:
    values: dict[str, Any] = {name: contents.os_release.get(key) for name, key in _SYSTEM.items()}
    values["interpreters"] = (
        sorted({found.version for found in contents.interpreters if found.version}) or None
    )
    values["cuda"] = sorted(set(contents.cuda.values())) or None
    return {name: value for name, value in values.items() if value is not None}


def _settings(contents: Contents) -> dict[str, Any]:
    values = {name: contents.config[name] for name in _SETTINGS if contents.config.get(name)}
    return values | {f"labels.{name}": text for name, text in _mapping(contents.config.get("labels")).items()}


def _symbols(a: Contents, b: Contents) -> tuple[Change, ...]:
    """Of each library that both have, by the name of its file, the symbol versions that only one of them defines."""
    before, after = _libraries(a), _libraries(b)
    changes = []
    for name in sorted(before.keys() & after.keys()):
        only_a, only_b = before[name] - after[name], after[name] - before[name]
        if only_a or only_b:
            changes.append(Change(name=name, before=sorted(only_a) or None, after=sorted(only_b) or None))
    return tuple(changes)


def _libraries(contents: Contents) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path, versions in contents.symbols.items():
        # libz.so.1.2.13 and libz.so.1.3 are the library libz.so.1.
        name = re.sub(r"(\.so\.\d+)\.[\d.]+$", r"\1", posixpath.basename(path))
        found.setdefault(name, set()).update(versions)
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    return tuple(
        Change(name=name, before=before.get(name), after=after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )
