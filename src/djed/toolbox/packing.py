"""A folder as a tar.gz that is written while it is read: the same bytes for the same folder, and nothing of where it lies."""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from djed.errors import ToolError

__all__ = ["pack"]

_CHUNK = 2**20
_BLOCK = 512
_GZIP = 31
"""Window bits that mean a gzip header (zlib's manual, deflateInit2); it bears no time."""


def pack(folder: Path, name: str, *, without: Collection[str] = ()) -> Iterator[bytes]:
    """The parts of a tar.gz in which the folder is called ``name``, without these entries of it. Nobody may write to it meanwhile.

    Links are kept as links where they stay inside; one that leads elsewhere on this machine is left out, as is what is neither file, folder
    nor link. Raises ``ToolError`` where a file is not what it was when its size was read.
    """
    squeeze = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    for part in _parts(folder, name, without):
        if data := squeeze.compress(part):
            yield data
    yield squeeze.flush()


def _parts(folder: Path, name: str, without: Collection[str]) -> Iterator[bytes]:
    for path, status in _walk(folder, "", without):
        info = tarfile.TarInfo(f"{name}/{path}")
        info.mode, info.mtime = stat.S_IMODE(status.st_mode) & 0o777, int(status.st_mtime)
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
            yield _header(info)
        elif stat.S_ISLNK(status.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(folder / path)  # noqa: PTH115 - as it is, not resolved
            if _inside(path, info.linkname):
                yield _header(info)
        elif stat.S_ISREG(status.st_mode):
            info.size = status.st_size
            yield _header(info)
            yield from _content(folder / path, status.st_size)
    yield bytes(2 * _BLOCK)


def _walk(folder: Path, prefix: str, without: Collection[str] = ()) -> Iterator[tuple[str, os.stat_result]]:
    """Every entry below, in order of name; a folder before what is in it."""
    with os.scandir(folder) as found:
        listed = sorted((entry for entry in found if entry.name not in without), key=lambda entry: entry.name)
    for entry in listed:
        yield prefix + entry.name, entry.stat(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")


def _inside(path: str, target: str) -> bool:
    place = os.path.normpath(f"{os.path.dirname(path)}/{target}".lstrip("/"))  # noqa: PTH120 - of a path in the archive
    return not target.startswith("/") and place != ".." and not place.startswith("../")


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise ToolError(f"{path.name!r} became shorter while it was read.")
            left -= len(chunk)
            yield chunk
    yield bytes(-size % _BLOCK)
