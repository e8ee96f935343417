"""What is installed in a virtual environment, read from the metadata of its distributions (never by running its Python)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from djed.errors import ToolError, UnsafeError
from djed.model.artifact import Content
from djed.toolbox.coremetadata import headers, licence
from djed.toolbox.fs import open_regular

__all__ = ["read_contents", "read_metadata", "read_modules"]

# Headers come first; the description after them can be long and is not needed.
_MAX_METADATA = 2**20
_MAX_RECORD = 8 * 2**20
_MAX_MODULES = 200
_NO_MODULE = (b".dist-info", b".data", b".libs", b".pth")


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

    fields = headers(data)
    names, versions = fields.get("name", []), fields.get("version", [])
    if len(names) != 1 or len(versions) != 1:
        raise ToolError("An installed package has metadata without its name and version.")
    return Content(
        name=canonicalize_name(names[0]),
        version=versions[0],
        licence=licence(fields),
        requires=tuple(fields.get("requires-dist", ())),
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
