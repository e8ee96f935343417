"""Images from outside, brought into a clean layout of their own that holds nothing but the one image that is wanted."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from djed.errors import RefusedError, UnreadableError, UnsafeError
from djed.toolbox.archive import CAPS, Budget, Caps, extract
from djed.toolbox.folder import writing
from djed.toolbox.fs import remove_tree
from djed.toolbox.inflate import inflated
from djed.toolbox.layers import Tree, write_layer
from djed.toolbox.oci.layout import Layout, Verified
from djed.toolbox.oci.nouns import (
    CONFIG,
    LAYER,
    LAYERS,
    MANIFEST,
    Descriptor,
    OciImage,
    descriptor_of,
    parse,
    platform_of,
    read_config,
)
from djed.toolbox.oci.writing import NewLayout, Unfinished, canonical
from djed.toolbox.tar_reader import TarReader

__all__ = ["ImageKind", "import_image"]

ImageKind = Literal["oci", "oci-archive", "docker-archive", "rootfs"]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BEGINNING = "1970-01-01T00:00:00Z"
_BLOBS = 10_000
"""Entries of an archive of an image."""
_BUFFER = 2**18


def import_image(source: Path, kind: ImageKind, into: Path, *, arch: str, caps: Caps = CAPS) -> OciImage:
    """Write the image for a machine that ``source`` holds as the one image of a new layout.

    What ``kind`` says: a layout, a tar of one, what ``docker save`` wrote, or a root file system (a folder, or a tar of one, also with
    bzip2 or xz). Every digest and size is checked. The digest of the image stays what it is, unless it has to be said in the OCI's words.
    Raises ``UnreadableError``, ``UnsafeError``, and ``RefusedError`` for an image that is for another machine, or one of several that
    could be meant. What was written until then is the caller's to remove.
    """
    if not os.path.lexists(source):
        raise UnreadableError(f"There is no {source}.", hint="Check the path of the base image.")
    if kind == "rootfs":
        _from_root(source, into, arch, caps)
    elif kind == "oci":
        _from_layout(Layout(source), into, arch, ours=False)
    else:
        with _extracted(source, into, caps) as folder:
            if kind == "oci-archive" or os.path.lexists(folder / "index.json"):
                _from_layout(Layout(folder), into, arch, ours=True)
            else:
                _from_docker(Layout(folder), into, arch, caps)
    return Layout(into).choose(arch)


@contextmanager
def _extracted(source: Path, into: Path, caps: Caps) -> Iterator[Path]:
    """An archive, unpacked where the layout will be written."""
    with writing(into):
        into.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=into))
    try:
        with _opened(source) as stream:
            extract(stream, folder, caps=replace(caps, entries=min(caps.entries, _BLOBS)), name=source.name)
        yield folder
    finally:
        remove_tree(folder)


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    try:
        stream = source.open("rb", buffering=0)
    except OSError as error:
        raise UnreadableError(f"{source} cannot be read: {error.strerror}.") from error
    with stream:
        yield io.BufferedReader(stream, _BUFFER)


def _from_layout(layout: Layout, into: Path, arch: str, *, ours: bool) -> None:
    """Copy what the image consists of; files that are ``ours`` already become those of the new layout once they are checked."""
    manifest, image = layout.find(arch)
    new = NewLayout(into)
    config = descriptor_of(image.manifest["config"], "manifest")
    for descriptor in {one.digest: one for one in (config, *image.layers)}.values():
        with layout.open(descriptor) as stream:
            if not ours:
                new.stream(stream, descriptor.media_type)
                continue
            while stream.read(_BUFFER):
                pass
        new.link(layout.folder / descriptor.blob, descriptor.digest)
    if _is_oci(manifest, image, config):
        new.finish_as(layout.read(manifest), layout.read(config))
    else:
        new.finish(layout.read(config), image.layers)


def _is_oci(manifest: Descriptor, image: OciImage, config: Descriptor) -> bool:
    """Whether the manifest can stay as it is. A Docker one says the same in other words."""
    layers = all(LAYERS[layer.media_type] == layer.media_type for layer in image.layers)
    declared = {manifest.media_type, image.manifest.get("mediaType", MANIFEST)}
    return layers and declared == {MANIFEST} and config.media_type == CONFIG


# --- docker save, in the form that has no layout


def _from_docker(folder: Layout, into: Path, arch: str, caps: Caps) -> None:
    entry, data = _saved(folder, arch)
    paths, diff_ids = entry.get("Layers"), read_config(data)[2]
    if not isinstance(paths, list) or len(paths) != len(diff_ids):
        raise UnreadableError("manifest.json and the configuration of the image list different layers.")
    new = NewLayout(into)
    layers = []
    for path, diff_id in zip(paths, diff_ids, strict=True):
        name = f"The layer {path!r:.100}"
        with folder.regular(_inside(folder, path), name) as raw:
            plain = inflated(raw, name=name, ratio=caps.ratio)
            # There is no digest but that of the layer without compression, so this is how it is kept.
            with io.BufferedReader(Verified(plain, diff_id, name=name), _BUFFER) as checked:
                layers.append(new.stream(checked, LAYER))
    new.finish(data, layers)


def _saved(folder: Layout, arch: str) -> tuple[dict[str, Any], bytes]:
    """What manifest.json says of the image for a machine, and its configuration."""
    listed = parse(folder.read_file("manifest.json"), "manifest.json")
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise UnreadableError("manifest.json lists no images that can be read.")
    wanted = platform_of(arch)
    found: dict[bytes, dict[str, Any]] = {}
    fitting: dict[bytes, dict[str, Any]] = {}
    for entry in listed:
        data = folder.read_file(_inside(folder, entry.get("Config")))
        platform = read_config(data)[1]
        found[data] = entry
        if (platform.os, platform.architecture) == (wanted.os, wanted.architecture):
            fitting[data] = entry
    if len(fitting) > 1:
        tags = [
            str(tag) for entry in fitting.values() for tag in entry.get("RepoTags") or ("without a name",)
        ]
        raise RefusedError(
            f"There are {len(fitting)} images in the archive: {', '.join(sorted(tags))[:500]}.",
            hint="Save the one you mean alone.",
        )
    # One that is for another machine is refused as everywhere: when the new layout is read.
    data, entry = next(iter((fitting or found).items()))
    return entry, data


def _inside(folder: Layout, path: object) -> str:
    """A path of the archive; where it is a link, as repeated layers are, what that leads to."""
    if isinstance(path, str) and _plain(path):
        place = folder.folder / path
        if place.is_symlink():
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(place.readlink())))
        if _plain(path):
            return path
    raise UnsafeError(f"manifest.json names {path!r:.100}, which is no path inside.")


def _plain(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and "\0" not in path


# --- A root file system


def _from_root(source: Path, into: Path, arch: str, caps: Caps) -> None:
    new = NewLayout(into)
    with writing(into), new.unfinished() as blob:
        if source.is_dir():
            written = write_layer([Tree(source=source, target="/", keep=True)], blob.file)
            digest, size = written.digest, written.size
        else:
            with _opened(source) as stream:
                digest, size = _copy_tar(stream, blob, source.name, caps)
        blob.keep(digest)
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
    new.finish(canonical(config), [Descriptor(media_type=LAYER, digest=digest, size=size)])


def _copy_tar(stream: BinaryIO, into: Unfinished, name: str, caps: Caps) -> tuple[str, int]:
    """Copy a tar without its compression, reading every header of it on the way. Returns digest and size."""
    plain = inflated(stream, name=name, ratio=caps.ratio, formats=("gzip", "bzip2", "xz"))
    tee = _Tee(plain, into)
    budget = Budget(caps, name)
    for entry in TarReader(io.BufferedReader(tee, _BUFFER), name=name):
        budget.admit(entry.name, entry.size, entry.stored)
    return "sha256:" + tee.hash.hexdigest(), tee.size


class _Tee(io.RawIOBase):
    """A stream that is copied and hashed while it is read."""

    def __init__(self, stream: io.BufferedReader, into: Unfinished) -> None:
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
