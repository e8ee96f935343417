"""Images from outside, brought into a clean layout of their own that holds nothing but the one image that is wanted."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

from djed.errors import RefusedError, UnreadableError, UnsafeError
from djed.toolbox.archive import Budget, Caps, extract
from djed.toolbox.folder import writing
from djed.toolbox.fs import remove_tree
from djed.toolbox.inflate import inflated
from djed.toolbox.layers import Tree, write_layer
from djed.toolbox.oci.layout import Layout, Verified, read_config
from djed.toolbox.oci.nouns import (
    CONFIG,
    CONFIGS,
    LAYER,
    LAYER_GZIP,
    LAYERS,
    MANIFEST,
    Descriptor,
    OciImage,
    Platform,
    descriptor_of,
    parse,
    platform_of,
)
from djed.toolbox.oci.writing import NewLayout, canonical
from djed.toolbox.tar_reader import TarReader

__all__ = ["ImageKind", "import_image"]

ImageKind = Literal["oci", "oci-archive", "docker-archive", "rootfs"]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BEGINNING = "1970-01-01T00:00:00Z"
_CAPS = Caps(entries=10_000)
"""Of an archive of an image, whose entries are blobs."""


def import_image(source: Path, kind: ImageKind, into: Path, *, arch: str, caps: Caps = Caps()) -> OciImage:
    """Write the image for a machine that ``source`` holds as the one image of a new layout.

    What ``kind`` says: a layout, a tar of one, what ``docker save`` wrote, or a root file system (a folder, or a tar of one, also with bzip2 or
    xz). Every digest and size is checked. Raises ``UnreadableError``, ``UnsafeError``, and ``RefusedError`` for an image that is for
    another machine, or one of several that could be meant.
    """
    if not os.path.lexists(source):
        raise UnreadableError(f"There is no {source}.", hint="Check the path of the base image.")
    if kind == "rootfs":
        _from_root(source, into, arch, caps)
    elif kind == "oci":
        _from_layout(Layout(source), into, arch, move=False)
    else:
        with _extracted(source, into) as folder:
            if kind == "oci-archive" or (folder / "index.json").is_file():
                _from_layout(Layout(folder), into, arch, move=True)
            else:
                _from_docker(Layout(folder), into, arch, caps)
    return Layout(into).choose(arch)


@contextmanager
def _extracted(source: Path, into: Path) -> Iterator[Path]:
    """An archive, unpacked beside the layout that is to be written."""
    with writing(into):
        into.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=into))
    try:
        with _opened(source) as stream:
            extract(stream, folder, caps=_CAPS, name=source.name)
        yield folder
    finally:
        remove_tree(folder)


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    try:
        stream = source.open("rb")
    except OSError as error:
        raise UnreadableError(f"{source} cannot be read: {error.strerror}.") from error
    with stream:
        yield stream


def _from_layout(layout: Layout, into: Path, arch: str, *, move: bool) -> None:
    """Copy what the image consists of; ``move`` takes files that are ours already as they are, once they are checked."""
    manifest, image = layout.find(arch)
    new = NewLayout(into)
    config = descriptor_of(image.manifest["config"], "manifest")
    for descriptor in _distinct((config, *image.layers)):
        with layout.open(descriptor) as stream:
            if not move:
                new.stream(stream, descriptor.media_type)
                continue
            while stream.read(2**20):
                pass
        new.link(layout.folder / descriptor.blob, descriptor.digest)
    if manifest.media_type == MANIFEST and _is_oci(image):
        written = new.bytes(layout.read(manifest), MANIFEST)
    else:
        written = new.bytes(canonical(_as_oci(image, config)), MANIFEST)
    new.finish(written, read_config(layout.read(config))[1])


def _distinct(descriptors: tuple[Descriptor, ...]) -> list[Descriptor]:
    return list({descriptor.digest: descriptor for descriptor in descriptors}.values())


def _is_oci(image: OciImage) -> bool:
    types = [image.manifest["config"]["mediaType"], *(layer.media_type for layer in image.layers)]
    declared = image.manifest.get("mediaType", MANIFEST)
    return declared == MANIFEST and types[0] == CONFIG and all(LAYERS[name] == name for name in types[1:])


def _as_oci(image: OciImage, config: Descriptor) -> dict[str, Any]:
    """The manifest of a Docker image, said in the OCI's words; the configuration is the same in both."""
    assert config.media_type in CONFIGS
    layers = [
        {"mediaType": LAYERS[one.media_type], "digest": one.digest, "size": one.size} for one in image.layers
    ]
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.size},
        "layers": layers,
    }


# --- docker save, in the form that has no layout


def _from_docker(folder: Layout, into: Path, arch: str, caps: Caps) -> None:
    listed = parse(folder.read_file("manifest.json"), "manifest.json")
    if not isinstance(listed, list) or not listed:
        raise UnreadableError("manifest.json lists no images that can be read.")
    wanted, found = platform_of(arch), []
    for entry in listed:
        if not isinstance(entry, dict):
            raise UnreadableError("manifest.json lists no images that can be read.")
        data = folder.read_file(_inside(folder, entry.get("Config")))
        platform = read_config(data)[1]
        found.append((entry, data, platform))
    fitting = [one for one in found if (one[2].os, one[2].architecture) == (wanted.os, wanted.architecture)]
    if len({one[1] for one in fitting}) > 1:
        names = sorted(str(tag) for entry, _, _ in fitting for tag in entry.get("RepoTags") or ["(no name)"])
        raise RefusedError(
            f"The archive holds several images: {', '.join(names)[:500]}.",
            hint="Save the one you mean alone.",
        )
    # One for another machine is refused as everywhere, when the new layout is read.
    entry, data, platform = (fitting or found)[0]
    _write_docker(folder, entry, data, platform, into, caps)


def _write_docker(
    folder: Layout, entry: dict[str, Any], data: bytes, platform: Platform, into: Path, caps: Caps
) -> None:
    paths, diff_ids = entry.get("Layers"), read_config(data)[2]
    if not isinstance(paths, list) or len(paths) != len(diff_ids):
        raise UnreadableError("manifest.json and the configuration of the image list different layers.")
    new = NewLayout(into)
    config = new.bytes(data, CONFIG)
    layers = []
    for path, diff_id in zip(paths, diff_ids, strict=True):
        name = f"The layer {path!r:.100}"
        with folder.regular(_inside(folder, path), path) as raw:
            head = raw.peek(2)[:2]
            stream: BinaryIO = raw
            if head == b"\x1f\x8b":
                plain = inflated(raw, name=name, ratio=caps.ratio)
                with io.BufferedReader(Verified(plain, diff_id, None, name), 2**18) as checked:
                    while checked.read(2**20):
                        pass
        with folder.regular(_inside(folder, path), path) as raw:
            stream = (
                raw if head == b"\x1f\x8b" else io.BufferedReader(Verified(raw, diff_id, None, name), 2**18)
            )
            layers.append(new.stream(stream, LAYER_GZIP if head == b"\x1f\x8b" else LAYER))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.as_json(),
        "layers": [layer.as_json() for layer in layers],
    }
    new.finish(new.bytes(canonical(manifest), MANIFEST), platform)


def _inside(folder: Layout, path: object) -> str:
    """A path of the archive; where it is a link, as repeated layers are, what that leads to."""
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise UnsafeError(f"manifest.json names {path!r:.100}, which is no path inside.")
    place = folder.folder / path
    if place.is_symlink():
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), os.readlink(place)))  # noqa: PTH115
        if path.startswith(("/", "..")):
            raise UnsafeError(f"manifest.json names {path!r:.100}, which is no path inside.")
    return path


# --- A root file system


def _from_root(source: Path, into: Path, arch: str, caps: Caps) -> None:
    new = NewLayout(into)
    with writing(into), new.unfinished() as blob:
        if source.is_dir():
            written = write_layer([Tree(source=source, target="/", keep=True)], blob.file)
            digest, size = written.digest, written.size
        else:
            with _opened(source) as stream:
                digest, size = _copy_tar(stream, blob.file, source.name, caps)
        blob.keep(digest)
    layer = Descriptor(media_type=LAYER, digest=digest, size=size)
    platform = platform_of(arch)
    config = {
        "architecture": platform.architecture,
        "os": platform.os,
        "created": _BEGINNING,
        "config": {"Env": [f"PATH={_PATH}"]},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
        "history": [{"created": _BEGINNING, "created_by": "a root file system"}],
    }
    if platform.variant:
        config["variant"] = platform.variant
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": new.bytes(canonical(config), CONFIG).as_json(),
        "layers": [layer.as_json()],
    }
    new.finish(new.bytes(canonical(manifest), MANIFEST), platform)


def _copy_tar(stream: BinaryIO, into: BinaryIO, name: str, caps: Caps) -> tuple[str, int]:
    """Copy a tar without its compression, reading every header of it on the way. Returns digest and size."""
    plain = inflated(stream, name=name, ratio=caps.ratio, formats=("gzip", "bzip2", "xz"))
    tee = _Tee(plain, into)
    budget = Budget(caps, name)
    for entry in TarReader(io.BufferedReader(tee, 2**18), name=name):
        budget.admit(entry.name, entry.size, entry.stored)
    return "sha256:" + tee.hash.hexdigest(), tee.size


class _Tee(io.RawIOBase):
    """A stream that is copied and hashed while it is read."""

    def __init__(self, stream: io.BufferedReader, into: BinaryIO) -> None:
        self._stream, self._into = stream, into
        self.hash, self.size = hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]  # io hands over a memoryview
        count = self._stream.readinto(target)
        self.hash.update(target[:count])
        self._into.write(target[:count])
        self.size += count
        return count
