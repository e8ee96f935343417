"""Manifests: whether an artifact is still what was sealed, told from its directory entries alone, fast enough for every use."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from djed.errors import RefusedError, UnsafeError
from djed.model.artifact import ArtifactKind

__all__ = ["UNPACKED", "check_manifest", "read_manifest", "stamp"]

MAX_ENTRIES = 2_000_000
UNPACKED = "root"
"""What the layers of an image are unpacked to, in the folder of its artifact."""


def read_manifest(folder: Path, *, without: str | None = None) -> tuple[str, int]:
    """Digest over path, type, mode, size, modification time and link target of every entry below, and bytes of all files.

    Not of what is below its folder ``without``. Not of the folder itself, so that it can be moved. Raises ``UnsafeError`` where it is no
    folder, or holds more than ``MAX_ENTRIES``.
    """
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise UnsafeError(f"{folder.name!r} is not a folder.")
    computed = hashlib.sha256()
    size = entries = 0
    waiting = [os.fsencode(folder)]
    start = len(waiting[0]) + 1
    left_out = None if without is None else os.fsencode(folder / without)
    while waiting:
        current = waiting.pop()
        with os.scandir(current) as found:
            listed = sorted(found, key=lambda entry: entry.name)
        entries += len(listed)
        if entries > MAX_ENTRIES:
            raise UnsafeError(f"There are more than {MAX_ENTRIES} entries in {folder.name!r}.")
        for entry in listed:
            status = entry.stat(follow_symlinks=False)
            mode, length, target = status.st_mode, status.st_size, b""
            if stat.S_ISDIR(mode):
                waiting += [entry.path] if entry.path != left_out else []
                length = 0  # what a directory's size means differs by file system
            elif stat.S_ISLNK(mode):
                target = os.readlink(entry.path)  # noqa: PTH115 - bytes
            else:
                size += length
            # Bytes that cannot be in a path separate the fields: no entry can pass for two.
            computed.update(
                b"%b\0%o\0%d\0%d\0%b\0\0" % (entry.path[start:], mode, length, status.st_mtime_ns, target)
            )
    return f"sha256:{computed.hexdigest()}", size


def check_manifest(path: Path, manifest: str, kind: ArtifactKind | None = None) -> bool:
    """Whether the artifact at ``path`` is as it was sealed; ``False`` too where it is gone or cannot be read.

    Of an image its blobs count, and that what was unpacked of them lies beside them, but not each file of that: it has a hundred thousand.
    """
    try:
        return read_manifest(path, without=UNPACKED if kind == "image" else None)[0] == manifest
    except (OSError, UnsafeError):
        return False


def stamp(path: Path) -> str:
    """What tells one state of a file or folder from another, without reading its files. Raises ``RefusedError`` where it is not there."""
    try:
        status = path.stat()
    except OSError as error:
        raise RefusedError(
            f"The base {path} cannot be read: {error.strerror}.",
            hint="Name a file or folder of this machine.",
        ) from error
    if stat.S_ISDIR(status.st_mode):
        return read_manifest(path)[0]
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return ":".join([str(path), *map(str, identity)])
