"""Archives from anywhere, unpacked by us alone: what is not plainly harmless is refused, its entry named, and nothing is written outside.

``tarfile``'s filters can be escaped on the Pythons in use (CVE-2025-4517), so none of them is relied on.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from djed.errors import ConflictError, UnreadableError, UnsafeError
from djed.toolbox.confined import Confined, Parts, finish
from djed.toolbox.folder import writing
from djed.toolbox.inflate import inflated
from djed.toolbox.tar_reader import TarEntry, TarReader, shown, write_all

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

__all__ = ["CAPS", "Budget", "Caps", "Extracted", "extract", "extract_zip"]

_SLACK = 64 * 2**20
_TARGET = 4095
_CHUNK = 2**18


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """How much an archive may hold."""

    entries: int = 1_000_000
    size: int = 64 * 2**30
    """Bytes of all files together, holes included."""
    ratio: float = 1000.0
    """Bytes that come out of a compressed one; small ones may be larger."""
    path: int = 4096
    """Bytes of a path."""
    depth: int = 256
    """Folders in one another."""
    name: int = 255
    """Bytes of one name."""


CAPS = Caps()
"""What is usual."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """What an archive held."""

    entries: int
    size: int


class Budget:
    """What an archive has used of its caps; every entry goes through ``admit`` before anything of it is written."""

    def __init__(self, caps: Caps, name: str) -> None:
        self._caps, self._name = caps, name
        self.entries, self.size = 0, 0

    def admit(self, name: bytes, size: int, stored: int) -> Parts:
        """Count an entry in. Returns its path; raises ``UnsafeError`` for one that leads out or is more than the caps allow."""
        self.entries += 1
        self.size += size
        if self.entries > self._caps.entries:
            raise UnsafeError(f"{self._name} holds more than {self._caps.entries} entries.")
        if self.size > self._caps.size:
            raise UnsafeError(
                f"{self._name} holds more than {self._caps.size} bytes; {shown(name)} is what is too much."
            )
        if size > _SLACK and size > self._caps.ratio * stored:
            raise UnsafeError(f"{self._name} holds {shown(name)}, which is {size} bytes made of {stored}.")
        return self.path(name, name)

    def path(self, path: bytes, entry: bytes) -> Parts:
        """The names of a path that stays inside, however the links on it lie."""
        caps = self._caps
        if path.startswith(b"/"):
            raise self.refused(entry, "has an absolute path")
        if len(path) > caps.path or b"\0" in path:
            raise self.refused(entry, f"has a path that is broken or longer than {caps.path} bytes")
        parts = tuple(part for part in path.split(b"/") if part not in {b"", b"."})
        if b".." in parts:
            raise self.refused(entry, "has a path with '..'")
        if len(parts) > caps.depth:
            raise self.refused(entry, f"lies deeper than {caps.depth} folders")
        if any(len(part) > caps.name for part in parts):
            raise self.refused(entry, f"has a name of more than {caps.name} bytes")
        return parts

    def target(self, entry: TarEntry) -> bytes:
        """Target of a symbolic link, wherever it leads."""
        if not entry.target or b"\0" in entry.target or len(entry.target) > _TARGET:
            raise self.refused(entry.name, "is a link with a broken target")
        return entry.target

    def refused(self, entry: bytes, why: str) -> UnsafeError:
        """The error that names archive and entry."""
        return UnsafeError(f"{self._name} holds {shown(entry)}, which {why}.")


def extract(stream: BinaryIO, into: Path, *, caps: Caps = CAPS, name: str = "archive") -> Extracted:
    """Unpack one tar archive, plain or gzip, into an existing, empty folder.

    Files, folders, links that stay inside, and links to files of the archive. Modes lose what gives rights away, owners are not applied.
    Raises ``UnsafeError`` for whatever leads out, is a device, comes twice or is more than the caps allow, and ``UnreadableError`` for what
    is truncated, broken or of another format; both name the archive and the entry. What was unpacked until then is the caller's to remove.
    """
    budget = Budget(caps, name)
    with writing(into), _empty(into, caps, name) as inside:
        reader = TarReader(inflated(stream, name=name, ratio=caps.ratio), name=name)
        plain = _Plain(inside, budget)
        for entry in reader:
            try:
                plain.put(entry, reader)
            except FileExistsError:
                raise budget.refused(entry.name, "comes twice") from None
    return Extracted(entries=budget.entries, size=budget.size)


@contextmanager
def _empty(into: Path, caps: Caps, name: str) -> Iterator[Confined]:
    with Confined(into, name=name, follow=False, folders=caps.entries, depth=caps.depth) as inside:
        if inside.names(()):
            raise ConflictError(f"{into} is not empty.")
        yield inside


class _Plain:
    """The rules of an archive that is no layer."""

    def __init__(self, inside: Confined, budget: Budget) -> None:
        self._inside, self._budget = inside, budget
        self._folders: set[Parts] = set()

    def put(self, entry: TarEntry, reader: TarReader) -> None:
        budget = self._budget
        parts = budget.admit(entry.name, entry.size, entry.stored)
        if entry.kind == "folder":
            self.folder(parts, entry.mode)
        elif not parts:
            raise budget.refused(entry.name, f"is a {entry.kind} in place of the folder")
        elif entry.kind == "file":
            descriptor = self._inside.file(parts)
            try:
                reader.copy(descriptor)
            finally:
                finish(descriptor, entry.mode, entry.mtime)
        elif entry.kind == "symlink":
            self._inside.symlink(parts, self._stays(entry, parts))
        elif entry.kind == "link":
            target = budget.path(entry.target, entry.name)
            if not target:
                raise budget.refused(entry.name, "is a link with a broken target")
            self._inside.link(parts, target, kinds=frozenset({stat.S_IFREG}))
        else:
            raise budget.refused(entry.name, f"is a {entry.kind}")

    def put_member(self, archive: ZipFile, member: ZipInfo) -> None:
        """One entry of a zip archive."""
        budget, called = self._budget, member.orig_filename.encode("utf-8", "surrogateescape")
        parts = budget.admit(called, member.file_size, max(member.compress_size, 1))
        if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise budget.refused(called, "is neither a file nor a folder")
        # What else there is needs a password, or a module that a Python may lack.
        if member.compress_type not in {0, 8} or member.flag_bits & 1:
            raise budget.refused(called, "is encrypted, or compressed in a way that is not read here")
        try:
            if member.is_dir():
                self.folder(parts, 0o755)
                return
            if not parts:
                raise budget.refused(called, "is a file in place of the folder")
            descriptor = self._inside.file(parts)
        except FileExistsError:
            raise budget.refused(called, "comes twice") from None
        mode = 0o755 if member.external_attr >> 16 & 0o111 else 0o644
        try:
            with archive.open(member) as content:
                left = member.file_size
                while part := content.read(min(_CHUNK, left + 1)):
                    left -= len(part)
                    if left < 0:
                        raise budget.refused(called, "is larger than it says")
                    write_all(descriptor, part)
        finally:
            finish(descriptor, mode, 0)

    def folder(self, parts: Parts, mode: int) -> None:
        """A folder may be there because something in it came first, but not be said twice."""
        if parts in self._folders:
            raise FileExistsError
        self._folders.add(parts)
        if not parts:
            return
        if self._inside.kind(parts) == stat.S_IFDIR:
            self._inside.change(parts, mode)
        else:
            self._inside.folder(parts, mode)

    def _stays(self, entry: TarEntry, parts: Parts) -> bytes:
        """The target of a symbolic link that cannot lead out.

        ``..`` is taken at its beginning alone: there it climbs real folders, because nothing is unpacked through a link. After a name,
        which may be a link by itself, it could climb from anywhere.
        """
        target = self._budget.target(entry)
        steps = [step for step in target.split(b"/") if step not in {b"", b"."}]
        climbs = 0
        while climbs < len(steps) and steps[climbs] == b"..":
            climbs += 1
        if target.startswith(b"/") or climbs >= len(parts) or b".." in steps[climbs:]:
            raise self._budget.refused(entry.name, "is a link that leads out")
        return target


def extract_zip(stream: BinaryIO, into: Path, *, caps: Caps = CAPS, name: str = "archive") -> Extracted:
    """Unpack one zip archive, such as a wheel, into an existing, empty folder: files and folders alone. Errors are those of ``extract``."""
    import zipfile

    budget = Budget(caps, name)
    broken = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError)
    with writing(into), _empty(into, caps, name) as inside:
        plain = _Plain(inside, budget)
        try:
            with zipfile.ZipFile(stream) as archive:
                for member in archive.infolist():
                    plain.put_member(archive, member)
        except (*broken, NotImplementedError, RuntimeError) as error:
            raise UnreadableError(
                f"{name} is no zip archive that can be read: {str(error)[:200]}."
            ) from error
    return Extracted(entries=budget.entries, size=budget.size)
