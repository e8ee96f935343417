"""Tar archives read from front to back, strictly: what two readers could understand in two ways is refused.

ustar, GNU (long names, sparse files, large numbers) and pax. Names are bytes: nothing here asks what they mean, or touches a file by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

from djed.errors import UnreadableError, UnsafeError
from djed.toolbox.tar_sparse import Segment, check_map, gnu_map, pax_map

__all__ = ["BLOCK", "TarEntry", "TarReader", "shown", "write_all"]

BLOCK = 512
_CHUNK = 2**18
_METADATA = 2**20
"""The longest pax header or GNU long name that is read."""

Kind = Literal["file", "folder", "symlink", "link", "device", "fifo"]
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"S": "file",
    b"1": "link",
    b"2": "symlink",
    b"3": "device",
    b"4": "device",
    b"5": "folder",
    b"6": "fifo",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TarEntry:
    """One entry, as the archive says it."""

    name: bytes
    kind: Kind
    target: bytes = b""
    """Of a symlink or link."""
    mode: int = 0
    mtime: int = 0
    size: int = 0
    """Bytes that the file will have."""
    stored: int = 0
    """Bytes that follow in the archive."""
    segments: tuple[Segment, ...] | None = None
    """Where the stored bytes belong, for a sparse file."""


def shown(name: bytes) -> str:
    """A name for a message: readable, without control characters, not longer than a line."""
    text = repr(name.decode("utf-8", "backslashreplace"))
    return text if len(text) <= 200 else f"{text[:160]}…{text[-30:]}"


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of it, however little the system takes at a time."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


class TarReader:
    """The entries of a stream, one after another; the content of one is taken before the next, or passed over.

    Raises ``UnreadableError`` for what is no tar, is truncated or broken, and for bytes after its end. ``complete`` says whether the end
    must be marked: a layer, whose digest is known, may go without.
    """

    def __init__(self, stream: BinaryIO, *, name: str, complete: bool = True) -> None:
        self._stream, self._name, self._complete = stream, name, complete
        self._buffer, self._at = memoryview(b""), 0
        self._left, self._padding = 0, 0
        self._entry: TarEntry | None = None

    def __iter__(self) -> Iterator[TarEntry]:
        while (header := self._header()) is not None:
            entry = self._read(header)
            self._left, self._padding, self._entry = entry.stored, -entry.stored % BLOCK, entry
            yield entry
            self._pass(self._left + self._padding)

    def copy(self, descriptor: int) -> None:
        """Write the content of the entry into an open, new file."""
        entry = self._entry
        assert entry is not None
        if entry.segments is None:
            self._copy(descriptor, entry.stored)
            return
        for segment in entry.segments:
            os.lseek(descriptor, segment.offset, os.SEEK_SET)
            self._copy(descriptor, segment.size)
        os.ftruncate(descriptor, entry.size)

    def _copy(self, descriptor: int, size: int) -> None:
        self._left -= size
        while size:
            part = self._take(size)
            size -= len(part)
            write_all(descriptor, part)

    # --- Bytes

    def _take(self, most: int) -> memoryview:
        """Between one and ``most`` bytes."""
        if self._at == len(self._buffer):
            self._fill()
        part = self._buffer[self._at : self._at + most]
        self._at += len(part)
        return part

    def _fill(self) -> None:
        data = self._stream.read(_CHUNK)
        if not data:
            raise UnreadableError(f"{self._name} is truncated.")
        self._buffer, self._at = memoryview(data), 0

    def _exactly(self, size: int) -> bytes:
        if self._at + size <= len(self._buffer):
            self._at += size
            return bytes(self._buffer[self._at - size : self._at])
        parts = bytearray()
        while len(parts) < size:
            parts += self._take(size - len(parts))
        return bytes(parts)

    def _pass(self, size: int) -> None:
        while size:
            size -= len(self._take(size))

    # --- Headers

    def _header(self) -> bytes | None:
        """The next block that is not the end. At the end, everything that is left must be zeros."""
        if self._at == len(self._buffer):
            data = self._stream.read(_CHUNK)
            if not data:
                if self._complete:
                    raise UnreadableError(f"{self._name} is truncated: the mark at its end is missing.")
                return None
            self._buffer, self._at = memoryview(data), 0
        block = self._exactly(BLOCK)
        if block.count(0) != BLOCK:
            _check_sum(block, self._name)
            return block
        rest: bytes | memoryview = self._buffer[self._at :]
        while rest or (rest := self._stream.read(_CHUNK)):
            if bytes(rest).strip(b"\0"):
                raise UnreadableError(f"{self._name} goes on after its end.")
            rest = b""
        self._buffer, self._at = memoryview(b""), 0
        return None

    def _read(self, header: bytes) -> TarEntry:
        """The entry of this header and of those that only say more about the next one."""
        pax: dict[bytes, bytes] | None = None
        sparse_lists: list[tuple[bytes, bytes]] = []
        long: dict[bytes, bytes] = {}
        while (flag := header[156:157]) in b"xgLK":
            data = self._metadata(header)
            if flag == b"x" and pax is None:
                pax = self._pax(data, sparse_lists)
            elif flag == b"g":
                self._check_global(data)
            elif flag in b"LK" and flag not in long:
                long[flag] = data.rstrip(b"\0")
            else:
                raise UnreadableError(f"{self._name} describes an entry twice.")
            following = self._header()
            if following is None:
                raise UnreadableError(f"{self._name} ends after a header that describes the next entry.")
            header = following
        return self._entry_of(header, pax or {}, long, sparse_lists)

    def _metadata(self, header: bytes) -> bytes:
        size = _number(header[124:136], self._name)
        if size > _METADATA:
            raise UnsafeError(
                f"{self._name} describes an entry with {size} bytes; at most {_METADATA} are read."
            )
        data = self._exactly(size)
        self._pass(-size % BLOCK)
        return data

    def _pax(self, data: bytes, sparse: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for key, value in _records(data, self._name):
            if key in {b"GNU.sparse.offset", b"GNU.sparse.numbytes"}:
                sparse.append((key, value))
            else:
                found[key] = value
        return found

    def _check_global(self, data: bytes) -> None:
        for key, _ in _records(data, self._name):
            if key in {b"path", b"linkpath", b"size"} or key.startswith(b"GNU.sparse"):
                raise UnsafeError(f"{self._name} gives every entry the same {key.decode()}.")

    def _entry_of(
        self,
        header: bytes,
        pax: Mapping[bytes, bytes],
        long: Mapping[bytes, bytes],
        lists: list[tuple[bytes, bytes]],
    ) -> TarEntry:
        name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or long.get(b"L") or _name(header)
        flag = header[156:157]
        kind = _KINDS.get(flag)
        if kind is None:
            raise UnreadableError(
                f"{self._name} holds {shown(name)}, which is of an unknown type ({flag!r})."
            )
        if b"\0" in name or not name:
            raise UnreadableError(
                f"{self._name} holds an entry whose name is empty or broken: {shown(name)}."
            )
        if flag in b"0\0" and name.endswith(b"/"):
            kind = "folder"  # as the oldest archives have it
        stored = (
            _decimal(pax[b"size"], self._name) if b"size" in pax else _number(header[124:136], self._name)
        )
        if kind != "file" and stored:
            raise UnreadableError(f"{self._name} holds {shown(name)}, a {kind} with content.")
        size, segments, stored = self._sparse(header, pax, lists, stored)
        mtime = pax.get(b"mtime", b"").split(b".")[0]
        return TarEntry(
            name=name,
            kind=kind,
            target=pax.get(b"linkpath") or long.get(b"K") or header[157:257].split(b"\0", 1)[0],
            mode=_number(header[100:108], self._name) & 0o7777,
            mtime=int(mtime) if mtime.isdigit() and len(mtime) < 12 else _time(header[136:148]),
            size=size,
            stored=stored,
            segments=segments,
        )

    def _sparse(
        self, header: bytes, pax: Mapping[bytes, bytes], lists: list[tuple[bytes, bytes]], stored: int
    ) -> tuple[int, tuple[Segment, ...] | None, int]:
        """Size of the file, the map of a sparse one, and the bytes that follow."""
        if header[156:157] == b"S":
            size, segments = gnu_map(header, self._exactly, self._name)
        elif any(key.startswith(b"GNU.sparse.") for key in pax) or lists:
            size, segments, used = pax_map(pax, lists, self._exactly, self._name)
            stored -= used
        else:
            return stored, None, stored
        check_map(segments, size, stored, self._name)
        return size, segments, stored


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    # The prefix is ustar's; GNU keeps other things there.
    if header[257:263] == b"ustar\0" and header[345]:
        return header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _check_sum(block: bytes, name: str) -> None:
    expected = _number(block[148:156], name)
    found = sum(block) - sum(block[148:156]) + 8 * 32
    if found == expected:
        return
    # Some old programs added the bytes up as signed ones.
    signed = found - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127)
    if signed != expected:
        raise UnreadableError(f"{name} is no tar archive, or is broken: the checksum of a header is wrong.")


def _number(field: bytes, name: str) -> int:
    """Octal text, or GNU's large numbers. Never negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\0", 1)[0].strip(b" ")
    if not text:
        return 0
    try:
        if text.isdigit():
            return int(text, 8)
    except ValueError:
        pass
    raise UnreadableError(f"{name} is no tar archive, or is broken: {shown(text)} is no number.")


def _decimal(text: bytes, name: str) -> int:
    if not text.isdigit() or len(text) > 20:
        raise UnreadableError(f"{name} is broken: {shown(text)} is no number.")
    return int(text)


def _time(field: bytes) -> int:
    try:
        return min(_number(field, ""), 2**40)
    except UnreadableError:
        return 0  # before 1970


def _records(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """The ``LENGTH KEY=VALUE`` lines of a pax header."""
    at = 0
    while at < len(data) and data[at]:
        digits, space, _ = data[at : at + 12].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = data[at + len(digits) + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if not record.endswith(b"\n") or not equals or at + length > len(data):
            raise UnreadableError(f"{name} is broken: a pax header cannot be read.")
        yield key, value
        at += length
