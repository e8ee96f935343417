"""The lock: the environment with every choice made. Its file form is pylock.toml (PEP 751)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from djed.model.contents import NativePackage

__all__ = ["Lock", "LockedFile", "LockedPackage"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedFile:
    """One distribution file that satisfies a locked package."""

    name: str
    """File name, for example ``numpy-2.1.3-cp311-cp311-manylinux_2_17_x86_64.whl``."""
    url: str | None = None
    """Where it is; ``None`` where the lock file of the request did not say."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """Hex digest by algorithm: ``{"sha256": "…"}``."""
    size: int | None = None
    """Bytes, where known."""
    uploaded: str | None = None
    """Upload time (RFC 3339), where known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPackage:
    """One package of a lock."""

    name: str
    """Normalised name (PEP 503)."""
    version: str
    """Exact version."""
    index: str | None = None
    """Name of the index it came from; ``None``: the default index."""
    marker: str | None = None
    """Environment marker under which it is installed; ``None``: always."""
    extras: tuple[str, ...] = ()
    """Extras that were asked for."""
    wheels: tuple[LockedFile, ...] = ()
    """Wheels that fit the lock's Python and platform."""
    sdist: LockedFile | None = None
    """The source distribution."""
    hashes: tuple[str, ...] = ()
    """``algorithm:hex`` of every acceptable file, where the lock file of the request names no files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """Exact versions, hashes and origins of everything in an environment."""

    python: str | None = None
    """Full version of the Python it holds for: ``3.11.7``; ``None`` where a lock of the request left it open."""
    requires_python: str | None = None
    """Specifier that a lock of the request carries."""
    platform: str | None = None
    """Platform it holds for, as ``linux-x86_64-glibc2.36``; ``None`` where open."""
    base: str | None = None
    """Digest of the base; of an image with native packages on it, of that."""
    native: tuple[NativePackage, ...] = ()
    """The native packages of the base that were asked for, as installed; with names and versions alone."""
    packages: tuple[LockedPackage, ...] = ()
    """Sorted by name."""
    origin: Literal["resolved", "given"] = "resolved"
    """Whether we resolved it or the request brought it."""

    @property
    def stack(self) -> dict[str, str]:
        """Version by package name."""
        return {package.name: package.version for package in self.packages}
