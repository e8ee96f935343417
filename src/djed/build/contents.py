"""What is installed in a virtual environment, read from the metadata of its distributions (never by running its Python)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from djed.errors import ToolError, UnsafeError
from djed.model.artifact import Content
from djed.toolbox.fs import open_regular

__all__ = ["read_contents", "read_metadata", "read_modules"]

# Headers come first; the description after them can be long and is not needed.
_MAX_METADATA = 2**20
_MAX_RECORD = 8 * 2**20
_MAX_MODULES = 200
_NO_MODULE = (b".dist-info", b".data", b".libs", b".pth")
_MAX_TEXT = 200
_UNKNOWN = {"", "unknown", "none"}


def read_contents(site_packages: Path) -> tuple[Content, ...]:
    """Name, version, licence and requirements of each distribution, sorted by name.

    Raises ``ToolError`` where there is no such folder, and for metadata without a name.
    """
    try:
        with os.scandir(site_packages) as entries:
            folders = [entry.name for entry in entries if entry.name.endswith(".dist-info")]
    except OSError as wrong:
        raise ToolError(f"The environment has no {site_packages.name}: {wrong.strerror}.") from wrong
    found = [_content(site_packages, folder) for folder in folders]
    return tuple(sorted(found, key=lambda content: content.name))


def read_metadata(data: bytes) -> Content:
    """What a METADATA file (core metadata, 2.4) says. Raises ``ToolError`` where it names no package or no version."""
    from packaging.utils import canonicalize_name

    headers: dict[str, list[str]] = {}
    for name, value in _headers(data.decode(errors="replace")):
        headers.setdefault(name, []).append(value)
    names, versions = headers.get("name", []), headers.get("version", [])
    if len(names) != 1 or len(versions) != 1:
        raise ToolError("An installed package has metadata without its name and version.")
    return Content(
        name=canonicalize_name(names[0]),
        version=versions[0],
        licence=_licence(headers),
        requires=tuple(headers.get("requires-dist", ())),
    )


def read_modules(data: bytes) -> tuple[str, ...]:
    """The top-level modules of a RECORD file (https://packaging.python.org/specifications/recording-installed-packages/)."""
    first = {
        line.partition(b"/")[0] if b"/" in line else line.partition(b",")[0] for line in data.splitlines()
    }
    names = {
        part.decode(errors="replace").partition(".")[0] for part in first if not part.endswith(_NO_MODULE)
    }
    names.discard("__pycache__")
    return tuple(sorted(name for name in names if name.isidentifier())[:_MAX_MODULES])


def _licence(headers: dict[str, list[str]]) -> str | None:
    """The SPDX expression, else the licence in one line, else the classifiers, else the first line of the licence's whole text."""
    prefix = "License :: "
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in headers.get("classifier", ())
        if line.startswith(prefix) and line != f"{prefix}OSI Approved"
    ]
    texts = headers.get("license-expression", []) + headers.get("license", [])
    known = [text for text in texts if text.lower() not in _UNKNOWN]
    short = [text for text in known if "\n" not in text]
    for text in (*short, " AND ".join(classifiers), *known):
        if text:
            return text.split("\n", 1)[0].strip()[:_MAX_TEXT]
    return None


def _headers(text: str) -> Iterator[tuple[str, str]]:
    """Header fields up to the first empty line; a line that begins with a blank goes on with the field before it (RFC 822)."""
    name, value = "", ""
    for line in re.split(r"\r?\n", text):
        if line[:1] in {" ", "\t"} and name:
            value += "\n" + line.strip()
            continue
        if name:
            yield name, value
        if not line or ":" not in line:
            return
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()


def _content(site_packages: Path, folder: str) -> Content:
    try:
        content = read_metadata(_read(site_packages, folder, "METADATA", _MAX_METADATA))
    except UnsafeError as wrong:
        raise ToolError(f"The metadata of {folder!r} cannot be read: {wrong.message}") from wrong
    try:
        return replace(content, modules=read_modules(_read(site_packages, folder, "RECORD", _MAX_RECORD)))
    except UnsafeError:  # not every installer leaves one
        return content


def _read(site_packages: Path, folder: str, name: str, most: int) -> bytes:
    with open_regular(site_packages, f"{folder}/{name}") as descriptor:
        return os.read(descriptor, most)
