"""A layout as one file: for ``docker load`` and ``podman load``, and as the OCI has it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, cast

from djed.toolbox.oci.layout import Layout
from djed.toolbox.oci.nouns import Descriptor, OciImage, descriptor_of, parse
from djed.toolbox.oci.writing import REF_NAME, canonical
from djed.toolbox.tar_writer import TarWriter

__all__ = ["docker_archive", "named_index", "oci_archive"]


def docker_archive(layout: Path, image: OciImage, name: str, into: BinaryIO) -> None:
    """Write what ``docker load`` and ``podman load`` take; they call the image ``name`` (``NAME:TAG``; without a tag ``latest``).

    Raises ``UnsafeError`` where a blob is not what its digest says.
    """
    source, writer = Layout(layout), TarWriter(into)
    config = descriptor_of(image.manifest["config"], "manifest")
    listed = {
        "Config": f"{_hex(config)}.json",
        "RepoTags": [name if ":" in name.rpartition("/")[2] else f"{name}:latest"],
        "Layers": [f"{_hex(layer)}.tar" for layer in image.layers],
    }
    writer.data(b"manifest.json", b"[" + canonical(listed) + b"]")
    _put(writer, f"{_hex(config)}.json", source, config)
    layers = {layer.digest: layer for layer in image.layers}
    for digest in sorted(layers):
        _put(writer, f"{_hex(layers[digest])}.tar", source, layers[digest])
    writer.close()


def oci_archive(layout: Path, into: BinaryIO, *, name: str | None = None) -> None:
    """Write a layout of ours as one tar, its image under another name where one is given; what else lies in its folder is left out.

    Raises as ``docker_archive`` does.
    """
    source, writer = Layout(layout), TarWriter(into)
    writer.data(b"oci-layout", source.read_file("oci-layout"))
    writer.data(b"index.json", named_index(source, name))
    writer.folder(b"blobs")
    writer.folder(b"blobs/sha256")
    for path in sorted((layout / "blobs/sha256").iterdir()):
        blob = Descriptor(media_type="", digest=f"sha256:{path.name}", size=path.lstat().st_size)
        _put(writer, blob.blob, source, blob)
    writer.close()


def named_index(layout: Layout, name: str | None) -> bytes:
    """The index of a layout of ours, its image under another name where one is given."""
    data = layout.read_file("index.json")
    if name is None:
        return data
    index = parse(data, "index.json")
    for manifest in index["manifests"]:
        manifest["annotations"] = {**manifest.get("annotations", {}), REF_NAME: name}
    return canonical(index)


def _put(writer: TarWriter, name: str, source: Layout, blob: Descriptor) -> None:
    with source.open(blob) as stream:
        writer.file(name.encode(), cast("io.BufferedReader", stream).readinto, blob.size)
        # Its digest is checked when its end is reached.
        stream.read(1)


def _hex(descriptor: Descriptor) -> str:
    return descriptor.digest.removeprefix("sha256:")
