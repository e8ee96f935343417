"""What a build leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from djed.model.image import Image

__all__ = ["SINGLE_FILES", "Artifact", "ArtifactKind", "Content"]

ArtifactKind = Literal["wheel", "venv", "image", "sif", "archive"]
SINGLE_FILES: Mapping[ArtifactKind, str] = {"wheel": ".whl", "sif": ".sif", "archive": ".tar.gz"}
"""Kinds that are one file in a folder, with what its name ends in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """One package in an artifact."""

    name: str
    version: str
    index: str | None = None
    """Index it came from; ``None``: the default index."""
    hashes: tuple[str, ...] = ()
    """``sha256:…`` of the file it was installed from."""
    licence: str | None = None
    """SPDX expression where the metadata has one, else its licence text or classifier."""
    requires: tuple[str, ...] = ()
    """Its ``Requires-Dist`` lines."""
    built: bool = False
    """Whether we built the wheel from source."""
    file: str | None = None
    """Name of the wheel it was installed from."""
    modules: tuple[str, ...] = ()
    """Top-level modules that it brings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A sealed artifact. Named by the digest of all that went into it, so that the same request finds it again."""

    digest: str
    """``sha256:…`` of lock, base, files, builder."""
    kind: ArtifactKind
    path: str
    """Relative to the artifact store."""
    size: int
    """Bytes of its files (apparent)."""
    manifest: str
    """Digest over path, type, size, mode and modification time of every entry; checked before each use."""
    contents: tuple[Content, ...] = ()
    image: Image | None = None
    """Of an image: what is known of it."""
