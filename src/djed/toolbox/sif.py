"""Apptainer's image files (SIF): read with caps, whatever they hold, and written, the same bytes for the same parts.

A header of 128 bytes, a table of 48 descriptors of 585 bytes, then the objects: the definition, labels, and as last the file system.
See https://github.com/apptainer/sif for the format.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from djed.errors import ToolError, UnreadableError, UnsafeError
from djed.toolbox import squashfs
from djed.toolbox.archive import Caps
from djed.toolbox.folder import writing

__all__ = [
    "DEFINITION",
    "LABELS",
    "METADATA",
    "PARTITION",
    "Sif",
    "SifObject",
    "opened",
    "read",
    "unpack_sif",
    "write",
]

DEFINITION, LABELS, PARTITION, _SIGNATURE, _JSON = 0x4001, 0x4003, 0x4004, 0x4005, 0x4006
"""Types of objects."""
METADATA = "inspect-metadata.json"
"""Name of the JSON object that Apptainer's ``inspect`` shows."""

_LAUNCH = b"#!/usr/bin/env run-singularity\n"
_MAGIC = b"SIF_MAGIC"
_VERSION = b"01"
_HEADER = struct.Struct("<32s10s3s3s16s8q")
"""Launch line, magic, version, architecture, id; times; descriptors that are free, all of them, where, bytes; objects: where, bytes."""
_DESCRIPTOR = struct.Struct("<iBIIIqqqqqqq128s384s")
"""Type, used, id, group, link; offset, size, size with what aligns it; times; owner and its group; name, more."""
_PARTITION = struct.Struct("<ii3s")
"""File system, role, architecture."""
_SQUASHFS, _PRIMARY = 1, 2
_GROUP = 0xF0000001
_TABLE_AT, _ENTRIES, _PAGE = 4096, 48, 4096
_ARCHES = {
    "i686": b"01", "x86_64": b"02", "armv7l": b"03", "aarch64": b"04", "ppc64": b"05", "ppc64le": b"06", "s390x": b"11",
    "riscv64": b"12",
}  # fmt: skip
_MOST_DESCRIPTORS = 4096
_MOST_TEXT = 16 * 2**20
_MOST_LABELS = 10_000
_CHUNK = 2**20
_CAPS = Caps()
_SUPERBLOCK = struct.Struct("<5I6H8Q")
_SQUASHFS_MAGIC = 0x73717368


@dataclass(frozen=True, kw_only=True, slots=True)
class SifObject:
    """One object of the file, by its descriptor."""

    id: int
    type: int
    offset: int
    size: int
    name: str = ""
    filesystem: int = 0
    """Of a partition: 1 is squashfs."""
    role: int = 0
    """Of a partition: 2 is the one that is run."""
    arch: str | None = None
    """Of a partition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sif:
    """What an image file says of itself."""

    id: str
    """32 hexadecimal digits."""
    arch: str | None
    """As the machine calls it: ``x86_64``; ``None``: unknown."""
    created: int
    """Unix time."""
    objects: tuple[SifObject, ...]
    """In the order of their descriptors."""
    partition: SifObject
    """The file system that is run: squashfs."""
    inodes: int
    """Files, folders and links in it, as its superblock says."""
    labels: Mapping[str, str]
    definition: str | None
    signed: bool
    """Whether it holds a signature; it is not verified."""


def opened(path: Path) -> BinaryIO:
    """The regular file at ``path``, open for reading. Raises ``UnreadableError``, and ``UnsafeError`` for something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableError(f"{path.name!r} cannot be read: {error.strerror}.") from error
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise UnsafeError(f"{path.name!r} is not a regular file.")
    return stream


# --- Reading


def read(file: BinaryIO, *, name: str = "the file") -> Sif:
    """What the file says of itself, without reading its file system.

    Raises ``UnreadableError`` for what is no SIF, or none with a squashfs to run (it may be encrypted), and ``UnsafeError`` for one whose
    parts lie outside of it or over one another's descriptions, or are larger than any honest one's. Messages begin with ``name``.
    """
    _, magic, version, arch, identity, created, *numbers = _HEADER.unpack(_at(file, 0, _HEADER.size, name))
    if magic.rstrip(b"\0") != _MAGIC:
        raise UnreadableError(f"{name} is no image file of Apptainer (SIF).")
    if version.rstrip(b"\0") != _VERSION:
        raise UnreadableError(f"{name} is a SIF of version {version[:2]!r}, which is not known here.")
    _, _, total, table, _, _, _ = numbers
    objects = _objects(file, table, total, name)
    primary = [item for item in objects if item.type == PARTITION and item.role == _PRIMARY]
    if len(primary) != 1:
        raise UnreadableError(f"{name} holds {len(primary) or 'no'} file systems to run, and one is needed.")
    if primary[0].filesystem != _SQUASHFS:
        raise UnreadableError(
            f"{name} holds no squashfs, but another or an encrypted file system, which is not read here."
        )
    return Sif(
        id=identity.hex(),
        arch=_arch(arch),
        created=created,
        objects=objects,
        partition=primary[0],
        inodes=_inodes(file, primary[0], name),
        labels=_labels(file, objects, name),
        definition=_definition(file, objects, name),
        signed=any(item.type == _SIGNATURE for item in objects),
    )


def _at(file: BinaryIO, offset: int, size: int, name: str) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise UnreadableError(f"{name} is shorter than an image file of Apptainer (SIF) says.")
    return data


def _objects(file: BinaryIO, table: int, total: int, name: str) -> tuple[SifObject, ...]:
    size = file.seek(0, os.SEEK_END)
    if not 0 <= total <= _MOST_DESCRIPTORS:
        raise UnsafeError(f"{name} says that it has {total} descriptors, and no honest one has so many.")
    end = table + total * _DESCRIPTOR.size
    if table < _HEADER.size or end > size:
        raise UnsafeError(f"{name} has its descriptors outside of it.")
    data = _at(file, table, end - table, name)
    found: list[SifObject] = []
    for kind, used, number, _, _, offset, length, *_, label, more in _DESCRIPTOR.iter_unpack(data):
        if not used:
            continue
        if (
            length < 0
            or offset < _HEADER.size
            or offset + length > size
            or (offset < end and table < offset + length)
        ):
            raise UnsafeError(f"{name} has its object {number} outside of where objects can be.")
        filesystem, role, arch = _PARTITION.unpack_from(more) if kind == PARTITION else (0, 0, b"")
        text = label.partition(b"\0")[0].decode(errors="replace")
        found.append(
            SifObject(
                id=number,
                type=kind,
                offset=offset,
                size=length,
                name=text,
                filesystem=filesystem,
                role=role,
                arch=_arch(arch),
            )
        )
    return tuple(found)


def _arch(code: bytes) -> str | None:
    wanted = code.rstrip(b"\0")
    return next((name for name, known in _ARCHES.items() if known == wanted), None)


def _inodes(file: BinaryIO, partition: SifObject, name: str) -> int:
    """From the superblock, which must say that the file system ends before the partition does."""
    if partition.size < _SUPERBLOCK.size:
        raise UnreadableError(f"{name} holds a squashfs that is cut off.")
    fields = _SUPERBLOCK.unpack(_at(file, partition.offset, _SUPERBLOCK.size, name))
    magic, inodes, used = fields[0], fields[1], fields[12]
    if magic != _SQUASHFS_MAGIC:
        raise UnreadableError(f"{name} holds no squashfs where it says so.")
    if used > partition.size:
        raise UnreadableError(f"{name} holds a squashfs that is cut off.")
    return int(inodes)


def _text(file: BinaryIO, item: SifObject, name: str) -> bytes:
    if item.size > _MOST_TEXT:
        raise UnsafeError(f"{name} has an object of text that is {item.size} bytes long.")
    return _at(file, item.offset, item.size, name).rstrip(b"\0")


def _definition(file: BinaryIO, objects: Sequence[SifObject], name: str) -> str | None:
    found = next((item for item in objects if item.type == DEFINITION), None)
    return None if found is None else _text(file, found, name).decode(errors="replace")


def _labels(file: BinaryIO, objects: Sequence[SifObject], name: str) -> dict[str, str]:
    """Those of its own object; else those that Apptainer keeps among what its ``inspect`` shows. What is no label is left out."""
    for item in objects:
        steps = () if item.type == LABELS else ("data", "attributes", "labels")
        if item.type != LABELS and (item.type, item.name) != (_JSON, METADATA):
            continue
        try:
            value = json.loads(_text(file, item, name))
        except (ValueError, RecursionError):
            continue
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, dict):
            pairs = list(value.items())[:_MOST_LABELS]
            return {key: text for key, text in pairs if isinstance(text, str)}
    return {}


# --- Writing


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placed:
    """An object that has its place."""

    type: int
    data: bytes
    offset: int
    size: int
    padded: int
    """Bytes from the end of the object before."""
    name: str = ""
    more: bytes = b""


def write(
    filesystem: Path,
    into: Path,
    *,
    arch: str,
    labels: Mapping[str, str],
    definition: str,
    epoch: int,
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Write an image file of a squashfs; returns its digest. The same arguments give the same bytes: its id is a digest of them.

    ``metadata`` is what Apptainer's ``inspect`` shows. ``into`` appears with all of its bytes or not at all. Raises ``ToolError`` for an
    architecture that the format does not know, ``StoreError`` where ``into`` cannot be written.
    """
    if arch not in _ARCHES:
        raise ToolError(
            f"Apptainer's image files know no architecture {arch!r}.",
            hint=f"They know {', '.join(sorted(_ARCHES))}.",
        )
    texts = [(DEFINITION, definition.encode(), ""), (LABELS, _encoded(labels), "labels.json")]
    if metadata is not None:
        texts.append((_JSON, _encoded(metadata), METADATA))
    start = _TABLE_AT + _ENTRIES * _DESCRIPTOR.size
    temporary = into.with_name(into.name + ".part")
    with filesystem.open("rb") as source, writing(into), temporary.open("wb") as target:
        length = source.seek(0, os.SEEK_END)
        objects = _place(texts, start, length, arch)
        identity = hashlib.sha256(
            json.dumps([arch, epoch, definition, dict(labels)], sort_keys=True).encode()
        )
        source.seek(0)
        for item in objects[:-1]:
            target.seek(item.offset)
            target.write(item.data)
        target.seek(objects[-1].offset)
        while chunk := source.read(_CHUNK):
            identity.update(chunk)
            target.write(chunk)
        target.seek(0)
        target.write(_header(arch, identity.digest()[:16], epoch, objects))
        target.seek(_TABLE_AT)
        target.write(b"".join(_descriptor(number, item, epoch) for number, item in enumerate(objects, 1)))
        target.flush()
        os.fchmod(target.fileno(), 0o755)
        os.fsync(target.fileno())
        temporary.replace(into)
    with into.open("rb") as written:
        return "sha256:" + hashlib.file_digest(written, "sha256").hexdigest()


def _encoded(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _place(texts: Sequence[tuple[int, bytes, str]], start: int, length: int, arch: str) -> list[_Placed]:
    """Texts one after the other, then the file system at the next page: it is mounted from there."""
    placed: list[_Placed] = []
    at = start
    for kind, data, name in texts:
        placed.append(_Placed(type=kind, data=data, offset=at, size=len(data), padded=len(data), name=name))
        at += len(data)
    aligned = -(-at // _PAGE) * _PAGE
    more = _PARTITION.pack(_SQUASHFS, _PRIMARY, _ARCHES[arch])
    placed.append(
        _Placed(
            type=PARTITION, data=b"", offset=aligned, size=length, padded=aligned + length - at, more=more
        )
    )
    return placed


def _header(arch: str, identity: bytes, epoch: int, objects: Sequence[_Placed]) -> bytes:
    start = _TABLE_AT + _ENTRIES * _DESCRIPTOR.size
    return _HEADER.pack(
        _LAUNCH,
        _MAGIC,
        _VERSION,
        _ARCHES[arch],
        identity,
        epoch,
        epoch,
        _ENTRIES - len(objects),
        _ENTRIES,
        _TABLE_AT,
        start - _TABLE_AT,
        start,
        sum(item.padded for item in objects),
    )


def _descriptor(number: int, item: _Placed, epoch: int) -> bytes:
    places = (item.offset, item.size, item.padded)
    return _DESCRIPTOR.pack(
        item.type, 1, number, _GROUP, 0, *places, epoch, epoch, 0, 0, item.name.encode(), item.more
    )


# --- Unpacking


def unpack_sif(file: Path, into: Path, *, caps: Caps = _CAPS) -> Sif:
    """Unpack the file system of an image file into an existing, empty folder; see :func:`djed.toolbox.squashfs.unpack`."""
    with opened(file) as stream:
        found = read(stream, name=repr(file.name))
    if found.inodes > caps.entries:
        raise UnsafeError(f"{file.name!r} holds more than {caps.entries} entries.")
    squashfs.unpack(file, into, offset=found.partition.offset, stored=found.partition.size, caps=caps)
    return found
