"""The lock file, pylock.toml (PEP 751): read from hostile bytes, written for an install."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from djed.errors import ToolError
from djed.model.lock import LockedFile, LockedPackage

__all__ = ["Choice", "check_package", "read_pylock", "toml_text", "write_pylock"]

MAX_BYTES = 16 * 2**20
MAX_PACKAGES = 5_000
MAX_FILES = 5_000
# Weaker ones (md5, sha1) prove nothing.
HASH_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*\.(whl|tar\.gz|zip|tar\.bz2|tar\.xz|tgz)")
_HEX = re.compile(r"[0-9a-f]+")
_URL = re.compile(r"https?://[!-~]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The one file of a package that is installed."""

    package: LockedPackage
    file: LockedFile
    path: str | None = None
    """Relative path of a wheel that we built, instead of the file's address."""


def toml_text(value: str) -> str:
    """A TOML basic string. JSON's escapes are TOML's too, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def write_pylock(choices: Iterable[Choice], python: str) -> str:
    """A pylock.toml with exactly one wheel for each package."""
    lines = ['lock-version = "1.0"', 'created-by = "djed"', f"requires-python = {toml_text('==' + python)}"]
    for choice in choices:
        place = (
            f"path = {toml_text(choice.path)}" if choice.path else f"url = {toml_text(choice.file.url or '')}"
        )
        hashes = ", ".join(
            f"{name} = {toml_text(value)}" for name, value in sorted(choice.file.hashes.items())
        )
        lines += [
            "",
            "[[packages]]",
            f"name = {toml_text(choice.package.name)}",
            f"version = {toml_text(choice.package.version)}",
            f"wheels = [{{ name = {toml_text(choice.file.name)}, {place}, hashes = {{ {hashes} }} }}]",
        ]
    return "\n".join(lines) + "\n"


def read_pylock(data: bytes) -> tuple[LockedPackage, ...]:
    """The packages of a lock file, in its order and with their markers. Raises ``ToolError`` for anything that is not as it should be."""
    if len(data) > MAX_BYTES:
        raise ToolError(f"The lock is larger than {MAX_BYTES} bytes.")
    try:
        tree = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ToolError("The lock cannot be read: it is not TOML.") from error
    if not str(tree.get("lock-version", "")).startswith("1."):
        raise ToolError("The lock is not a pylock.toml of version 1.")
    entries = _list(tree.get("packages", []), "packages", MAX_PACKAGES)
    return tuple(_package(entry) for entry in entries)


def check_package(package: LockedPackage) -> None:
    """Whether the files of a package, from whatever lock, are in order where they have an address. Raises ``ToolError``."""
    if not _NAME.fullmatch(package.name) or not _is_version(package.version):
        raise ToolError(
            f"The lock has a wrong name or version: {package.name!r:.80} {package.version!r:.80}."
        )
    for file in (*package.wheels, *filter(None, [package.sdist])):
        if file.url is not None:
            _check_file(file, package.name, package.version)


def _package(entry: Any) -> LockedPackage:
    table = _table(entry, "a package")
    name, version = table.get("name"), table.get("version")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ToolError(f"The lock has a package whose name {name!r:.80} is none.")
    if not isinstance(version, str) or not _is_version(version):
        raise ToolError(f"The lock has no exact version of {name}: {version!r:.80}.")
    unusable = [key for key in ("vcs", "directory") if key in table]
    if unusable:
        raise ToolError(
            f"The lock takes {name} from a {unusable[0]}, not from an index.",
            hint="Only files with a hash are installed.",
        )
    wheels = tuple(_file(item, name, version) for item in _list(table.get("wheels", []), name, MAX_FILES))
    sdist = _file(table["sdist"], name, version) if "sdist" in table else None
    if "archive" in table:
        archive = _file(table["archive"], name, version)
        wheels, sdist = ((archive,), None) if archive.name.endswith(".whl") else ((), archive)
    if not wheels and sdist is None:
        raise ToolError(f"The lock names no file of {name} {version}.")
    marker = table.get("marker")
    if marker is not None and not isinstance(marker, str):
        raise ToolError(f"The lock has a marker of {name} that is no text.")
    return LockedPackage(name=name, version=version, marker=marker, wheels=wheels, sdist=sdist)


def _file(entry: Any, package: str, version: str) -> LockedFile:
    table = _table(entry, package)
    url, size, uploaded = table.get("url"), table.get("size"), table.get("upload-time")
    file = LockedFile(
        name=str(table.get("name") or PurePosixPath(unquote(_path(url, package))).name),
        url=url,
        hashes=_hashes(table.get("hashes"), package),
        size=size if isinstance(size, int) and size >= 0 else None,
        uploaded=uploaded.isoformat() if isinstance(uploaded, datetime) else None,
    )
    _check_file(file, package, version)
    return file


def _check_file(file: LockedFile, package: str, version: str) -> None:
    """Whether its name, address and hashes are in order, and it is of that package and version."""
    _path(file.url, package)
    if not _FILE.fullmatch(file.name):
        raise ToolError(f"The lock has a file of {package} with a wrong name: {file.name!r:.120}.")
    if not _belongs(file.name, package, version):
        raise ToolError(f"The lock has a file {file.name} that is not of {package} {version}.")
    if file.hashes.keys().isdisjoint(HASH_LENGTHS):
        raise ToolError(f"The lock has no sha256 of {file.name}.")
    for kind, text in file.hashes.items():
        if kind in HASH_LENGTHS and (len(text) != HASH_LENGTHS[kind] or not _HEX.fullmatch(text)):
            raise ToolError(f"The lock has a wrong {kind} of {file.name}.")


def _path(url: Any, package: str) -> str:
    """The path of a web address. Raises ``ToolError`` for what is none."""
    try:
        if isinstance(url, str) and _URL.fullmatch(url) and (parts := urlsplit(url)).hostname:
            return parts.path
    except ValueError:
        pass
    raise ToolError(
        f"The lock has a file of {package} with an address that is not http or https: {url!r:.120}."
    )


def _hashes(value: Any, package: str) -> dict[str, str]:
    table: Mapping[str, Any] = value if isinstance(value, dict) else {}
    if not all(isinstance(text, str) for text in table.values()):
        raise ToolError(f"The lock has a hash of {package} that is no text.")
    return {kind: text for kind, text in table.items() if kind in HASH_LENGTHS}


def _belongs(file: str, package: str, version: str) -> bool:
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        canonicalize_name,
        parse_sdist_filename,
        parse_wheel_filename,
    )
    from packaging.version import Version

    try:
        if file.endswith(".whl"):
            name, found, *_ = parse_wheel_filename(file)
            return name == package and found == Version(version)
        if file.endswith((".tar.gz", ".zip")):
            name, found = parse_sdist_filename(file)
            return name == package and found == Version(version)
    except (InvalidWheelFilename, InvalidSdistFilename):
        # Old source distributions are named freely (``python-dateutil-2.4.tgz``, ``a-b-1.0-final.tar.gz``).
        return not file.endswith(".whl") and canonicalize_name(file).startswith(package)
    return canonicalize_name(file).startswith(package)


def _is_version(text: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ToolError(f"The lock is wrong at {where}: a table is missing.")
    return value


def _list(value: Any, where: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ToolError(f"The lock is wrong at {where}: no list, or one of more than {most}.")
    return value
