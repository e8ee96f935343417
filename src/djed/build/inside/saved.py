"""The uppermost layer of what an engine saved, taken out of the archive alone: the layers below are ours already."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from djed.errors import UnsafeError
from djed.toolbox.digest import digest_stream
from djed.toolbox.oci import LayerFile, OciImage
from djed.toolbox.oci.nouns import parse, read_config
from djed.toolbox.tar_reader import TarEntry, TarReader

__all__ = ["top_layer"]

_JSON = 8 * 2**20


def top_layer(archive: Path, base: OciImage, into: Path, *, steps: int, comment: str) -> LayerFile | None:
    """Write the last layer of an image that adds ``steps`` layers to ``base`` to the file ``into``.

    ``None`` where the archive holds something else: several images, another base, compressed layers. Raises ``UnreadableError`` or
    ``UnsafeError`` where it is broken.
    """
    listed = parse(_small(archive, "manifest.json"), "manifest.json")
    image = listed[0] if isinstance(listed, list) and len(listed) == 1 else None
    if not isinstance(image, dict) or not isinstance(image.get("Config"), str):
        return None
    diff_ids = read_config(_small(archive, image["Config"]))[2]
    layers: Any = image.get("Layers")
    above = len(base.diff_ids)
    if not isinstance(layers, list) or len(layers) != len(diff_ids) or not isinstance(layers[-1], str):
        return None
    if diff_ids[:above] != base.diff_ids or len(diff_ids) != above + steps:
        return None
    descriptor = os.open(into, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "rb") as file:
        found = _entry(archive, layers[-1], lambda reader, _: reader.copy(descriptor))
        file.seek(0)
        digest, size = digest_stream(file), os.fstat(descriptor).st_size
    if not found or digest != diff_ids[-1]:
        into.unlink()
        return None
    return LayerFile(path=into, digest=digest, diff_id=digest, size=size, comment=comment)


def _small(archive: Path, name: str) -> bytes:
    """The content of a small file of the archive. Raises ``UnsafeError`` where there is none."""
    found: list[bytes] = []

    def take(reader: TarReader, entry: TarEntry) -> None:
        if entry.size > _JSON:
            raise UnsafeError(f"{name!r:.100} in what the engine saved has more than {_JSON} bytes.")
        descriptor = os.memfd_create("djed")
        with os.fdopen(descriptor, "rb") as file:
            reader.copy(descriptor)
            file.seek(0)
            found.append(file.read())

    _entry(archive, name, take)
    if not found:
        raise UnsafeError(f"What the engine saved lacks {name!r:.100}.")
    return found[0]


def _entry(archive: Path, name: str, take: Callable[[TarReader, TarEntry], None]) -> bool:
    """Hand over the file of that name; whether there is one."""
    with archive.open("rb") as stream:
        reader = TarReader(stream, name="what the engine saved")
        for entry in reader:
            if entry.kind == "file" and entry.name.removeprefix(b"./") == name.encode(errors="replace"):
                take(reader, entry)
                return True
    return False
