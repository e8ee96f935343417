"""A layout as one file: for ``docker load`` and ``podman load``, and as the OCI has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from djed.toolbox.oci.layout import Layout
from djed.toolbox.oci.nouns import Descriptor, OciImage, descriptor_of
from djed.toolbox.oci.writing import canonical
from djed.toolbox.tar_writer import TarWriter

__all__ = ["docker_archive", "oci_archive"]


def docker_archive(layout: Path, image: OciImage, name: str, into: BinaryIO) -> None:
    """Write what ``docker load`` and ``podman load`` take; they call the image ``name`` (``NAME:TAG``; without a tag ``latest``)."""
    config = descriptor_of(image.manifest["config"], "manifest")
    digests = [layer.digest.removeprefix("sha256:") for layer in image.layers]
    tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    listed = {
        "Config": config.digest.removeprefix("sha256:") + ".json",
        "RepoTags": [tagged],
        "Layers": [f"{digest}.tar" for digest in digests],
    }
    writer = TarWriter(into)
    writer.data(b"manifest.json", b"[" + canonical(listed) + b"]")
    writer.data(listed["Config"].encode(), Layout(layout).read(config))
    for layer in sorted({layer.digest: layer for layer in image.layers}.values(), key=lambda one: one.digest):
        with _blob(layout, layer) as descriptor:
            writer.file(layer.digest.removeprefix("sha256:").encode() + b".tar", descriptor, layer.size)
    writer.close()


def oci_archive(layout: Path, into: BinaryIO) -> None:
    """Write a layout of ours as one tar; whatever else lies in its folder is left out."""
    source, writer = Layout(layout), TarWriter(into)
    writer.data(b"oci-layout", source.read_file("oci-layout"))
    writer.data(b"index.json", source.read_file("index.json"))
    writer.folder(b"blobs")
    writer.folder(b"blobs/sha256")
    for path in sorted((layout / "blobs/sha256").iterdir()):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            writer.file(b"blobs/sha256/" + os.fsencode(path.name), descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
    writer.close()


@contextmanager
def _blob(layout: Path, layer: Descriptor) -> Iterator[int]:
    descriptor = os.open(layout / layer.blob, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
