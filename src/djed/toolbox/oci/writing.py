"""A layout, written: a clean folder with one image, made by us alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from djed.errors import ConflictError
from djed.toolbox.folder import writing
from djed.toolbox.oci.nouns import MANIFEST, Descriptor, Platform

__all__ = ["NewLayout", "canonical"]

_CHUNK = 2**20
_NAME = "org.opencontainers.image.ref.name"


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class NewLayout:
    """Writes a layout into a folder that holds none yet, and is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs/sha256"
        with writing(folder):
            folder.mkdir(exist_ok=True)
            if (folder / "blobs").exists():
                raise ConflictError(f"{folder} already holds an image.")
            self._blobs.mkdir(parents=True)

    def bytes(self, data: bytes, media_type: str) -> Descriptor:
        """Keep bytes."""
        digest = hashlib.sha256(data).hexdigest()
        with writing(self.folder), Unfinished(self._blobs) as blob:
            blob.file.write(data)
            blob.keep(digest)
        return Descriptor(media_type=media_type, digest=f"sha256:{digest}", size=len(data))

    def stream(self, stream: BinaryIO, media_type: str) -> Descriptor:
        """Keep what a stream holds; what it raises at its end is raised before anything is kept."""
        hashed, size = hashlib.sha256(), 0
        with writing(self.folder), Unfinished(self._blobs) as blob:
            while data := stream.read(_CHUNK):
                hashed.update(data)
                blob.file.write(data)
                size += len(data)
            blob.keep(hashed.hexdigest())
        return Descriptor(media_type=media_type, digest=f"sha256:{hashed.hexdigest()}", size=size)

    def unfinished(self) -> Unfinished:
        """A blob whose digest is known once it is written."""
        return Unfinished(self._blobs)

    def link(self, source: Path, digest: str) -> None:
        """Keep a file of ours that is known to have this digest, as another name of it, or as a copy on another file system."""
        target = self._blobs / digest.removeprefix("sha256:")
        with writing(self.folder):
            if target.exists():
                return
            try:
                os.link(source, target, follow_symlinks=False)
                return
            except OSError:
                pass  # another file system, or too many names
            with source.open("rb") as stream:
                self.stream(stream, "")

    def finish(self, manifest: Descriptor, platform: Platform) -> None:
        """Write the index; the layout holds the image from now on."""
        listed = Descriptor(
            media_type=MANIFEST,
            digest=manifest.digest,
            size=manifest.size,
            platform=platform,
            annotations={_NAME: "latest"},
        )
        index = {"schemaVersion": 2, "manifests": [listed.as_json()]}
        with writing(self.folder):
            (self.folder / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')
            (self.folder / "index.json").write_bytes(canonical(index))


class Unfinished:
    """A blob being written; gone again unless it is kept."""

    def __init__(self, blobs: Path) -> None:
        self._blobs, self._path = blobs, blobs / f".new-{os.urandom(8).hex()}"
        self.file: BinaryIO

    def __enter__(self) -> Unfinished:
        self.file = self._path.open("xb", buffering=0)
        return self

    def keep(self, digest: str) -> None:
        """Give it its name."""
        self.file.close()
        self._path.chmod(0o644)
        self._path.replace(self._blobs / digest.removeprefix("sha256:"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        self._path.unlink(missing_ok=True)
