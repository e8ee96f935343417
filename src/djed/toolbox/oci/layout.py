"""A layout, read: nothing in it is believed before its digest and size are checked."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from djed.errors import RefusedError, UnreadableError, UnsafeError
from djed.toolbox.archive import CAPS, Caps
from djed.toolbox.folder import writing
from djed.toolbox.inflate import inflated
from djed.toolbox.layers import apply
from djed.toolbox.oci.nouns import (
    CONFIGS,
    INDEXES,
    LAYERS,
    MANIFESTS,
    Descriptor,
    OciImage,
    Platform,
    descriptor_of,
    parse,
    platform_of,
    read_config,
)

__all__ = ["Layout", "Verified", "unpack"]

_BUFFER = 2**18
_JSON = 4 * 2**20
"""The longest index, manifest or configuration that is read; registries take no longer ones."""
_DEEPEST = 4
_MANIFESTS = 1024
_LAYERS = 512
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")


class Verified(io.RawIOBase):
    """A stream that raises ``UnsafeError`` at its end, or as soon as it is too long, if it is not what its digest says.

    It closes ``stream``, and what lies ``below`` that.
    """

    def __init__(
        self,
        stream: BinaryIO,
        digest: str,
        *,
        name: str,
        size: int | None = None,
        below: BinaryIO | None = None,
    ) -> None:
        self._stream, self._digest, self._size, self._name = stream, digest, size, name
        self._below = below
        self._hash, self._seen = hashlib.sha256(), 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]  # io hands over a memoryview
        """Read on; at the end, see whether it was right."""
        count = cast("io.BufferedIOBase", self._stream).readinto(target)
        self._seen += count
        if count:
            self._hash.update(target[:count])
        elif "sha256:" + self._hash.hexdigest() != self._digest:
            raise UnsafeError(f"{self._name} is not what its digest {self._digest} says.")
        if self._size is not None and (self._seen > self._size or (not count and self._seen != self._size)):
            raise UnsafeError(f"{self._name} is not as long as is said of it ({self._size} bytes).")
        return count

    def close(self) -> None:
        """Close all."""
        self._stream.close()
        if self._below is not None:
            self._below.close()
        super().close()


class Layout:
    """A folder with ``oci-layout``, ``index.json`` and ``blobs``, from anywhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The blob as it is stored.

        Raises ``UnreadableError`` where it is missing; ``UnsafeError``, at its end at the latest, where it is not what the descriptor says.
        """
        name = f"blob {descriptor.digest}"
        file = self.regular(descriptor.blob, name)
        if os.fstat(file.fileno()).st_size != descriptor.size:
            file.close()
            raise UnsafeError(f"The {name} is not as long as is said of it ({descriptor.size} bytes).")
        return io.BufferedReader(
            Verified(file, descriptor.digest, size=descriptor.size, name=f"The {name}"), _BUFFER
        )

    def open_tar(self, descriptor: Descriptor, diff_id: str, *, ratio: float = CAPS.ratio) -> BinaryIO:
        """A layer without its compression, checked like ``open``, and against its ``diff_id``."""
        raw = self.open(descriptor)
        if descriptor.digest == diff_id:
            return raw
        name = f"The layer {descriptor.digest}"
        plain = inflated(raw, name=name, ratio=ratio)
        return io.BufferedReader(Verified(plain, diff_id, name=name, below=raw), _BUFFER)

    def read(self, descriptor: Descriptor) -> bytes:
        """A small blob: an index, a manifest or a configuration."""
        if descriptor.size > _JSON:
            raise UnsafeError(
                f"The blob {descriptor.digest} has {descriptor.size} bytes; at most {_JSON} are read."
            )
        with self.open(descriptor) as stream:
            return stream.read()

    def read_file(self, path: str) -> bytes:
        """A small file of the layout that is no blob."""
        with self.regular(path, repr(path)) as stream:
            data = stream.read(_JSON + 1)
        if len(data) > _JSON:
            raise UnsafeError(f"{path!r} has more than {_JSON} bytes.")
        return data

    def choose(self, arch: str) -> OciImage:
        """The image for a machine. Raises ``RefusedError`` where there is none, or more than one."""
        return self.find(arch)[1]

    def find(self, arch: str) -> tuple[Descriptor, OciImage]:
        """The image for a machine, with the descriptor of its manifest."""
        wanted = platform_of(arch)
        found = [
            (descriptor, platform)
            for descriptor in self._manifests(self.read_file("index.json"), "index.json", 0, set())
            if (platform := descriptor.platform or self._platform(descriptor))
        ]
        fitting = [pair for pair in found if _fits(pair[1], wanted)]
        exact = [pair for pair in fitting if pair[1].variant in {None, wanted.variant}]
        if not fitting:
            raise _wrong([platform for _, platform in found], wanted)
        chosen = exact if len(fitting) > 1 and exact else fitting
        if len(chosen) > 1:
            raise _ambiguous([descriptor for descriptor, _ in chosen], wanted)
        return chosen[0][0], self._image(chosen[0][0], arch, wanted)

    def _manifests(self, data: bytes, what: str, depth: int, seen: set[str]) -> Iterator[Descriptor]:
        """Every manifest that an index names, and those in the indexes that it names; each once."""
        index = parse(data, what)
        listed = index.get("manifests") if isinstance(index, dict) else None
        if not isinstance(listed, list) or len(listed) > _MANIFESTS:
            raise UnreadableError(f"{what} lists no manifests that can be read.")
        for value in listed:
            descriptor = descriptor_of(value, what)
            if descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            if len(seen) > _MANIFESTS:
                raise UnsafeError(f"The image lists more than {_MANIFESTS} manifests.")
            if descriptor.media_type in MANIFESTS:
                yield descriptor
            elif descriptor.media_type in INDEXES:
                if depth >= _DEEPEST:
                    raise UnsafeError(f"The image has indexes in one another, deeper than {_DEEPEST}.")
                yield from self._manifests(
                    self.read(descriptor), f"index {descriptor.digest}", depth + 1, seen
                )

    def _platform(self, descriptor: Descriptor) -> Platform | None:
        """What the configuration of a manifest says; None for one that is no image."""
        manifest = parse(self.read(descriptor), f"manifest {descriptor.digest}")
        if not isinstance(manifest, dict):
            return None
        config = descriptor_of(manifest.get("config"), f"manifest {descriptor.digest}")
        return read_config(self.read(config))[1] if config.media_type in CONFIGS else None

    def _image(self, descriptor: Descriptor, arch: str, wanted: Platform) -> OciImage:
        what = f"manifest {descriptor.digest}"
        manifest = parse(self.read(descriptor), what)
        listed = manifest.get("layers") if isinstance(manifest, dict) else None
        if not isinstance(listed, list) or len(listed) > _LAYERS:
            raise UnreadableError(f"The {what} lists no layers that can be read.")
        config = descriptor_of(manifest.get("config"), what)
        if config.media_type not in CONFIGS:
            raise UnreadableError(f"The {what} is not of an image, but of {config.media_type!r:.100}.")
        layers = tuple(_layer(descriptor_of(value, what)) for value in listed)
        settings, platform, diff_ids = read_config(self.read(config))
        if not _fits(platform, wanted):
            raise _wrong([platform], wanted)
        if len(diff_ids) != len(layers):
            raise UnsafeError(f"The {what} lists {len(layers)} layers, its configuration {len(diff_ids)}.")
        return OciImage(
            digest=descriptor.digest,
            manifest=manifest,
            config=settings,
            layers=layers,
            diff_ids=diff_ids,
            arch=arch,
            size=descriptor.size + config.size + sum(layer.size for layer in layers),
        )

    def regular(self, path: str, name: str) -> io.BufferedReader:
        """A file of the layout, opened without following a link."""
        try:
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            *above, last = path.split("/")
            for part in above:
                outer, folder = folder, -1
                try:
                    folder = os.open(
                        part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=outer
                    )
                finally:
                    os.close(outer)
            try:
                file = os.open(
                    last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
                )
            finally:
                os.close(folder)
        except FileNotFoundError as error:
            raise UnreadableError(f"The image lacks its {name}.") from error
        except OSError as error:
            raise UnsafeError(f"The {name} of the image cannot be opened: {error.strerror}.") from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise UnsafeError(f"The {name} of the image is no regular file.")
        return os.fdopen(file, "rb")


def unpack(layout: Path, image: OciImage, root: Path, *, caps: Caps = CAPS) -> None:
    """Apply the layers of an image, lowest first, to the folder ``root``, which is made where it is missing."""
    with writing(root):
        root.mkdir(exist_ok=True)
    source = Layout(layout)
    for layer, diff_id in zip(image.layers, image.diff_ids, strict=True):
        with source.open_tar(layer, diff_id, ratio=caps.ratio) as stream:
            done = apply(stream, root, caps=caps, name=f"layer {layer.digest}")
        # The caps are those of the whole image.
        caps = replace(caps, entries=caps.entries - done.entries, size=caps.size - done.size)


def _layer(descriptor: Descriptor) -> Descriptor:
    if descriptor.media_type.endswith("zstd"):
        raise UnreadableError(
            f"The layer {descriptor.digest} is compressed with zstd, which is not read here.",
            hint="Convert the image: skopeo copy --dest-compress-format gzip FROM oci:DIR",
        )
    if descriptor.media_type not in LAYERS:
        raise UnreadableError(
            f"The layer {descriptor.digest} is of an unknown type: {descriptor.media_type!r:.100}."
        )
    return descriptor


def _fits(platform: Platform, wanted: Platform) -> bool:
    if platform.os != wanted.os or platform.architecture != wanted.architecture:
        return False
    return wanted.variant is None or platform.variant in {None, wanted.variant}


def _text(platform: Platform) -> str:
    return "/".join(filter(None, (platform.os, platform.architecture, platform.variant)))


def _wrong(found: list[Platform], wanted: Platform) -> RefusedError:
    known = sorted({_text(platform) for platform in found if platform.architecture != "unknown"})
    return RefusedError(
        f"The image is for {', '.join(known) or 'nothing'}, but {_text(wanted)} is needed.",
        hint="Name an image for that machine, or choose a machine that the image is for.",
    )


def _ambiguous(found: list[Descriptor], wanted: Platform) -> RefusedError:
    names = sorted(
        next((note for key in _NAMES if (note := descriptor.annotations.get(key))), descriptor.digest)
        for descriptor in found
    )
    return RefusedError(
        f"There are {len(found)} images for {_text(wanted)}: {', '.join(repr(name)[:100] for name in names[:20])}.",
        hint="Copy the one you mean into a layout of its own: skopeo copy oci:DIR:NAME oci:OTHER",
    )
