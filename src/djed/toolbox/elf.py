"""What a shared library says of itself: the symbol versions that it defines (``GLIBC_2.36``).

Read as the loader reads them, by the dynamic section, so that a library without a section table has them too; 32 and 64 bit, both byte
orders. The file is hostile: nothing that it says is believed beyond its size and the caps below.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

__all__ = ["ElfError", "defined_versions"]

_MAX_SEGMENTS = 1024
_MAX_DYNAMIC = 2**16
_MAX_VERSIONS = 1000
_DEFINITION = 256  # bytes, with room for the names of those that it follows
_MAX_NAME = 256

_LOAD, _DYNAMIC = 1, 2
_STRTAB, _STRSZ, _VERDEF, _VERDEFNUM = 5, 10, 0x6FFFFFFC, 0x6FFFFFFD
_BASE = 1  # the definition that names the file itself


class ElfError(ValueError):
    """A file that is no ELF file, or is a broken one; says why."""


def defined_versions(file: int) -> tuple[str, ...]:
    """The symbol versions that a library defines, in its own order; none where it has none. ``file`` is a descriptor.

    Raises ``ElfError`` for a broken ELF file, and for what is none.
    """
    elf = _Elf(file)
    tags = elf.dynamic()
    if not {_VERDEF, _VERDEFNUM, _STRTAB, _STRSZ} <= tags.keys():
        return ()
    names = elf.place(tags[_STRTAB])
    found = (
        elf.name(names, tags[_STRSZ], offset)
        for offset in elf.definitions(elf.place(tags[_VERDEF]), tags[_VERDEFNUM])
    )
    return tuple(dict.fromkeys(name for name in found if name))


class _Elf:
    """The parts of an ELF file that lead to its dynamic section."""

    def __init__(self, file: int) -> None:
        self.file = file
        head = self.read(0, 64)
        if head[:4] != b"\x7fELF":
            raise ElfError("it is no ELF file")
        if len(head) < 52 or head[4] not in {1, 2} or head[5] not in {1, 2}:
            raise ElfError("its header is broken")
        self.wide = head[4] == 2
        self.order = "<" if head[5] == 1 else ">"
        if self.wide and len(head) < 64:
            raise ElfError("its header is broken")
        (self.table,) = struct.unpack_from(
            self.order + ("Q" if self.wide else "I"), head, 32 if self.wide else 28
        )
        self.entry, self.count = struct.unpack_from(self.order + "2H", head, 54 if self.wide else 42)
        self.loads: list[tuple[int, int, int]] = []
        """Address, place in the file and size of what is loaded."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes. Raises ``ElfError`` for a place that no file has."""
        try:
            return os.pread(self.file, size, offset)
        except (OSError, OverflowError) as error:
            raise ElfError("it points outside of itself") from error

    def dynamic(self) -> dict[int, int]:
        """The first value of each tag of the dynamic section; none where there is no such section."""
        section: tuple[int, int] | None = None
        for kind, offset, address, size in self._segments():
            if kind == _LOAD:
                self.loads.append((address, offset, size))
            elif kind == _DYNAMIC:
                section = offset, min(size, _MAX_DYNAMIC)
        tags: dict[int, int] = {}
        if section is not None:
            each = struct.Struct(self.order + ("2Q" if self.wide else "2I"))
            data = self.read(*section)
            for tag, value in each.iter_unpack(data[: len(data) - len(data) % each.size]):
                if tag == 0:
                    break
                tags.setdefault(tag, value)
        return tags

    def _segments(self) -> Iterator[tuple[int, int, int, int]]:
        """Kind, place in the file, address and size of each segment."""
        form = struct.Struct(self.order + ("IIQQQQ" if self.wide else "5I"))
        if self.count == 0:
            return
        if self.entry < form.size or self.count > _MAX_SEGMENTS:
            raise ElfError("its table of segments is broken")
        data = self.read(self.table, self.entry * self.count)
        for start in range(0, len(data) - form.size + 1, self.entry):
            fields = form.unpack_from(data, start)
            if self.wide:
                kind, _, offset, address, _, size = fields
            else:
                kind, offset, address, _, size = fields
            yield kind, offset, address, size

    def place(self, address: int) -> int:
        """Where in the file something lies that is loaded at an address."""
        for start, offset, size in self.loads:
            if start <= address < start + size:
                return offset + address - start
        raise ElfError("it points outside of itself")

    def definitions(self, start: int, count: int) -> Iterator[int]:
        """For each version that is defined, where its name begins among the names."""
        if count > _MAX_VERSIONS:
            raise ElfError(f"it defines more than {_MAX_VERSIONS} versions")
        data = self.read(start, _DEFINITION * count)
        definition, name = struct.Struct(self.order + "4H3I"), struct.Struct(self.order + "I")
        at = 0
        try:
            for _ in range(count):
                _, flags, _, _, _, auxiliary, following = definition.unpack_from(data, at)
                if not flags & _BASE:
                    yield name.unpack_from(data, at + auxiliary)[0]
                at += following
                if following == 0:
                    return
        except struct.error as error:
            raise ElfError("its version definitions are broken") from error

    def name(self, names: int, size: int, offset: int) -> str:
        """A name; one of another length than names have is cut off."""
        if offset >= size:
            raise ElfError("a name lies outside of its names")
        text = self.read(names + offset, _MAX_NAME).partition(b"\0")[0]
        return text.decode("ascii", errors="replace")
