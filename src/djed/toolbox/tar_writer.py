"""Tar archives written front to back, the same bytes for the same entries: owners, times and modes are what the caller says.

The format is GNU's: long names and numbers of any size, as raw bytes, understood by every reader.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import BinaryIO

from djed.errors import ToolError

__all__ = ["TarWriter"]

_BLOCK = 512
_BUFFER = 2**20
_LONG = b"././@LongLink"


class TarWriter:
    """Writes to a stream, and hashes what it writes."""

    def __init__(self, into: BinaryIO, *, epoch: int = 0, uid: int = 0, gid: int = 0) -> None:
        self._into, self._epoch = into, epoch
        self._hash = hashlib.sha256()
        self._buffer = memoryview(bytearray(_BUFFER))
        self._used, self._size = 0, 0
        self.own(uid, gid)

    def own(self, uid: int, gid: int) -> None:
        """Owner of the entries that follow."""
        self._owner = _octal(uid, 8) + _octal(gid, 8)

    def folder(self, name: bytes, mode: int = 0o755, mtime: int | None = None) -> None:
        """A folder."""
        self._header(name + b"/", b"5", mode=mode, mtime=mtime)

    def symlink(self, name: bytes, target: bytes) -> None:
        """A symbolic link."""
        self._header(name, b"2", mode=0o777, target=target)

    def link(self, name: bytes, target: bytes, mode: int = 0o644) -> None:
        """Another name of a file that was written before."""
        self._header(name, b"1", mode=mode, target=target)

    def data(self, name: bytes, data: bytes, mode: int = 0o644) -> None:
        """A file of these bytes."""
        self._header(name, b"0", mode=mode, size=len(data))
        self._put(data + bytes(-len(data) % _BLOCK))

    def file(
        self,
        name: bytes,
        read: Callable[[memoryview], int],
        size: int,
        *,
        mode: int = 0o644,
        mtime: int | None = None,
    ) -> None:
        """A file of ``size`` bytes that ``read`` puts where it is told. Raises ``ToolError`` where they are fewer."""
        self._header(name, b"0", mode=mode, size=size, mtime=mtime)
        left = size
        while left:
            if self._used == _BUFFER:
                self._flush()
            taken = read(self._buffer[self._used : self._used + left])
            if not taken:
                raise ToolError(f"{os.fsdecode(name)!r:.200} became shorter while it was read.")
            left -= taken
            self._used += taken
        self._put(bytes(-size % _BLOCK))

    def close(self) -> tuple[str, int]:
        """Write the end. Returns digest and size of the whole."""
        self._put(bytes(2 * _BLOCK))
        self._flush()
        return "sha256:" + self._hash.hexdigest(), self._size

    def _header(
        self,
        name: bytes,
        flag: bytes,
        *,
        mode: int,
        size: int = 0,
        target: bytes = b"",
        mtime: int | None = None,
    ) -> None:
        if len(target) > 100:
            self._long(b"K", target)
        if len(name) > 100:
            self._long(b"L", name)
        time = _octal(self._epoch if mtime is None else mtime, 12)
        before = b"%s%07o\0%s%s%s" % (
            name[:100].ljust(100, b"\0"),
            mode,
            self._owner,
            _octal(size, 12),
            time,
        )
        after = flag + target[:100].ljust(100, b"\0") + b"ustar  \0"
        total = sum(before) + sum(after) + 8 * 32
        self._put((b"%s%06o\0 %s" % (before, total, after)).ljust(_BLOCK, b"\0"))

    def _long(self, flag: bytes, text: bytes) -> None:
        data = text + b"\0"
        before = b"%s0000000\x000000000\x000000000\0%s%s" % (
            _LONG.ljust(100, b"\0"),
            _octal(len(data), 12),
            _octal(0, 12),
        )
        after = flag + bytes(100) + b"ustar  \0"
        total = sum(before) + sum(after) + 8 * 32
        self._put((b"%s%06o\0 %s" % (before, total, after)).ljust(_BLOCK, b"\0"))
        self._put(data + bytes(-len(data) % _BLOCK))

    def _put(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._used == _BUFFER:
                self._flush()
            part = data[at : at + _BUFFER - self._used]
            self._buffer[self._used : self._used + len(part)] = part
            self._used += len(part)
            at += len(part)

    def _flush(self) -> None:
        full = self._buffer[: self._used]
        self._hash.update(full)
        while full:
            full = full[self._into.write(full) :]
        self._size += self._used
        self._used = 0


def _octal(number: int, width: int) -> bytes:
    """A number in a field: as octal text, or in GNU's way where that is too short."""
    text = b"%0*o\0" % (width - 1, number)
    return text if len(text) == width else b"\x80" + number.to_bytes(width - 1, "big")
