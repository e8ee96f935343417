"""What is inside an image, a root file system, an archive or a virtual environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Contents",
    "FoundInterpreter",
    "Layer",
    "NativeKind",
    "NativePackage",
    "PythonFile",
    "PythonPackage",
]

NativeKind = Literal["deb", "rpm", "apk"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NativePackage:
    """A package of the system's package manager that is installed."""

    kind: NativeKind
    name: str
    version: str
    """As its package manager writes it: ``1:2.36-9+deb12u10``, ``2.34-100.el9``."""
    arch: str | None = None
    source: str | None = None
    """Source package that it was built from, as its package manager writes it: ``gcc-12 (12.2.0-14)``, ``bash-5.1.8-9.el9.src.rpm``;
    ``None`` where that has the same name and version (deb)."""
    licence: str | None = None
    """As its package manager tells it (rpm, apk), else of its copyright file (deb), where that names one."""
    depends: tuple[str, ...] = ()
    """As written, one requirement each, alternatives included: ``libc6 (>= 2.34)``, ``awk | mawk``."""
    pre_depends: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """Of its files, those that packages require by their path (rpm)."""
    size: int | None = None
    """Bytes installed, as its package manager tells it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonPackage:
    """A Python distribution that is installed."""

    name: str
    """As its metadata writes it."""
    version: str
    location: str
    """Folder that it was found in, from the root of what was looked into: ``/usr/lib/python3/dist-packages``."""
    licence: str | None = None
    """SPDX expression where the metadata has one, else its licence text or classifier."""
    requires: tuple[str, ...] = ()
    """Its ``Requires-Dist`` lines."""
    requires_python: str | None = None
    files: int = 0
    """Entries of its RECORD."""
    installer: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonFile:
    """A Python source file and its digest."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundInterpreter:
    """A Python interpreter."""

    path: str
    link: str | None = None
    """Where it leads, if it is a link."""
    version: str | None = None
    """``3.11.2``; ``None`` where the file does not tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer of an image."""

    digest: str
    """Of the blob, as the manifest names it."""
    size: int
    """Bytes of the blob."""
    media_type: str | None = None
    created_by: str | None = None
    """What made it, as the image's history tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """All that was found."""

    target: str
    """What was looked into, as it was named."""
    kind: Literal["image", "sif", "archive", "venv", "root", "log"]
    digest: str | None = None
    """Of the image's manifest, or of the file."""
    os_release: Mapping[str, str] = field(default_factory=dict)
    native: tuple[NativePackage, ...] = ()
    """Sorted by kind, name, version."""
    python: tuple[PythonPackage, ...] = ()
    """Sorted by location and name."""
    python_files: tuple[PythonFile, ...] = ()
    interpreters: tuple[FoundInterpreter, ...] = ()
    symbols: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Symbol versions that a shared library defines, by its path: ``{"/usr/lib/…/libc.so.6": ("GLIBC_2.2.5", …)}``."""
    cuda: Mapping[str, str] = field(default_factory=dict)
    """Versions of CUDA that were found, by where: ``{"/usr/local/cuda/version.json": "12.4.1"}``."""
    layers: tuple[Layer, ...] = ()
    """Lowest first."""
    size: int = 0
    """Bytes: of all layers of an image, else of the files."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The image's own configuration: variables, user, command, labels, architecture."""
    skipped: tuple[str, ...] = ()
    """What could not be read, each with the reason."""
