"""A layout, written: a clean folder with one image, made by us alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from djed.errors import ConflictError, UnsafeError
from djed.toolbox.folder import writing
from djed.toolbox.oci.nouns import CONFIG, LAYERS, MANIFEST, Descriptor, read_config
from djed.toolbox.tar_reader import write_all

__all__ = ["REF_NAME", "NewLayout", "Unfinished", "canonical"]

_CHUNK = 2**20
REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that names an image in a layout."""


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class NewLayout:
    """Writes a layout into a folder that holds none yet, and is made where it is missing. It holds the image once it has an index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs/sha256"
        with writing(folder):
            folder.mkdir(exist_ok=True)
            if os.path.lexists(folder / "blobs"):
                raise ConflictError(f"{folder} already holds an image.")
            self._blobs.mkdir(parents=True)

    def text(self, data: bytes, media_type: str) -> Descriptor:
        """Keep bytes."""
        digest = hashlib.sha256(data).hexdigest()
        with writing(self.folder), self.unfinished() as blob:
            blob.write(data)
            blob.keep(f"sha256:{digest}")
        return Descriptor(media_type=media_type, digest=f"sha256:{digest}", size=len(data))

    def stream(self, stream: BinaryIO, media_type: str) -> Descriptor:
        """Keep what a stream holds; what it raises at its end is raised before anything is kept."""
        hashed, size = hashlib.sha256(), 0
        with writing(self.folder), self.unfinished() as blob:
            while data := stream.read(_CHUNK):
                hashed.update(data)
                blob.write(data)
                size += len(data)
            blob.keep(f"sha256:{hashed.hexdigest()}")
        return Descriptor(media_type=media_type, digest=f"sha256:{hashed.hexdigest()}", size=size)

    def unfinished(self) -> Unfinished:
        """A blob whose digest is known once it is written."""
        return Unfinished(self._blobs)

    def link(self, source: Path, digest: str) -> None:
        """Keep a file of ours that has this digest: as another name of it, or as a copy where that cannot be."""
        target = self._blobs / digest.removeprefix("sha256:")
        with writing(self.folder):
            if target.exists():
                return
            try:
                os.link(source, target, follow_symlinks=False)
            except OSError:  # on another file system, or has too many names
                with source.open("rb") as stream:
                    if self.stream(stream, "").digest != digest:
                        raise UnsafeError(f"{source.name} is not what its digest {digest} says.") from None

    def finish(self, config: bytes, layers: Sequence[Descriptor]) -> None:
        """Write the image of a configuration and layers that are kept, or will be."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.text(config, CONFIG).as_json(),
            "layers": [
                {"mediaType": LAYERS[layer.media_type], "digest": layer.digest, "size": layer.size}
                for layer in layers
            ],
        }
        self.finish_as(canonical(manifest), config)

    def finish_as(self, manifest: bytes, config: bytes) -> None:
        """Write the image of a manifest, whose configuration is kept already."""
        written = self.text(manifest, MANIFEST)
        listed = Descriptor(
            media_type=MANIFEST,
            digest=written.digest,
            size=written.size,
            platform=read_config(config)[1],
            annotations={REF_NAME: "latest"},
        )
        with writing(self.folder):
            (self.folder / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')
            (self.folder / "index.json").write_bytes(
                canonical({"schemaVersion": 2, "manifests": [listed.as_json()]})
            )


class Unfinished:
    """A blob being written; gone again unless it is kept."""

    def __init__(self, blobs: Path) -> None:
        self._blobs, self._path = blobs, blobs / f".new-{os.urandom(8).hex()}"

    def __enter__(self) -> Self:
        self.file = self._path.open("xb", buffering=0)
        return self

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it."""
        write_all(self.file.fileno(), data)

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
