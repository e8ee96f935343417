"""Layers of images: applied over what is there, and written from trees, with the same bytes every time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from djed.errors import ConflictError, UnreadableError, UnsafeError
from djed.toolbox.archive import CAPS, Budget, Caps, Extracted
from djed.toolbox.confined import Confined, Parts, finish
from djed.toolbox.folder import writing
from djed.toolbox.inflate import inflated
from djed.toolbox.tar_reader import TarEntry, TarReader, shown
from djed.toolbox.tar_writer import TarWriter

__all__ = ["LayerWritten", "TextFile", "Tree", "apply", "write_layer"]

_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_PLAIN = b".wh..wh."
"""What else begins so is a matter of the program that wrote the layer (aufs: ``.wh..wh.plnk``)."""
_LINKABLE = frozenset({stat.S_IFREG, stat.S_IFLNK})
_DEEPEST = 256
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not blocking: to open a pipe for reading would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


# --- Applying


def apply(stream: BinaryIO, root: Path, *, caps: Caps = CAPS, name: str = "layer") -> Extracted:
    """Put a layer, plain or gzip, over what is in ``root``: what it hides goes, what it brings replaces what is there.

    Links are kept as the layer has them; on the way to an entry they are resolved inside ``root``. Devices and pipes below ``dev`` are left
    out. Owners are not applied; modes lose what gives rights away. Raises as ``archive.extract`` does.
    """
    budget = Budget(caps, name)
    with writing(root), _confined(root, caps, name) as inside:
        layer = _Layer(inside, budget)
        reader = TarReader(inflated(stream, name=name, ratio=caps.ratio), name=name, complete=False)
        for entry in reader:
            layer.put(entry, reader)
    return Extracted(entries=budget.entries, size=budget.size)


def _confined(root: Path, caps: Caps, name: str) -> Confined:
    return Confined(root, name=name, follow=True, folders=caps.entries, depth=caps.depth)


class _Layer:
    """One layer being applied; it never hides what it brings itself."""

    def __init__(self, inside: Confined, budget: Budget) -> None:
        self._inside, self._budget = inside, budget
        self._brought: set[Parts] = {()}

    def put(self, entry: TarEntry, reader: TarReader) -> None:
        parts = self._budget.admit(entry.name, entry.size, entry.stored)
        if not parts:
            if entry.kind != "folder":
                raise self._budget.refused(entry.name, f"is a {entry.kind} in place of the root")
            return
        if parts[-1].startswith(_WHITEOUT):
            self._hide(parts, entry)
            return
        if entry.kind in {"device", "fifo"}:
            self._leave_out(parts, entry)
            return
        real = (*self._inside.enter(parts[:-1])[1], parts[-1])
        if entry.kind == "folder":
            self._folder(real, entry.mode)
        else:
            try:
                self._make(real, entry, reader)
            except FileExistsError:
                self._inside.remove(real)
                self._make(real, entry, reader)
        self._remember(real)

    def _remember(self, real: Parts) -> None:
        """With the folders above: what is in them must stay, too."""
        while real not in self._brought:
            self._brought.add(real)
            real = real[:-1]

    def _folder(self, real: Parts, mode: int) -> None:
        try:
            self._inside.folder(real, mode)
        except FileExistsError:
            if self._inside.kind(real) == stat.S_IFDIR:
                self._inside.change(real, mode)
                return
            self._inside.remove(real)
            self._inside.folder(real, mode)

    def _make(self, real: Parts, entry: TarEntry, reader: TarReader) -> None:
        if entry.kind == "file":
            descriptor = self._inside.file(real)
            try:
                reader.copy(descriptor)
            finally:
                finish(descriptor, entry.mode, entry.mtime)
        elif entry.kind == "symlink":
            self._inside.symlink(real, self._budget.target(entry))
        else:
            target = self._budget.path(entry.target, entry.name)
            if not target:
                raise self._budget.refused(entry.name, "is a link with a broken target")
            self._inside.link(real, target, kinds=_LINKABLE)

    def _leave_out(self, parts: Parts, entry: TarEntry) -> None:
        if parts[0] != b"dev" or len(parts) == 1:
            raise self._budget.refused(entry.name, f"is a {entry.kind} outside of dev")

    def _hide(self, parts: Parts, entry: TarEntry) -> None:
        """A whiteout: what it names was brought by a layer below, and goes."""
        if entry.kind != "file" or entry.size:
            raise self._budget.refused(entry.name, "is called like a whiteout, but is none")
        folder = self._inside.find(parts[:-1])
        if folder is None:
            return  # where there is a file by now, or nothing, nothing is left to hide
        if parts[-1] == _OPAQUE:
            self._clear(folder)
        elif not parts[-1].startswith(_PLAIN):
            hidden = parts[-1].removeprefix(_WHITEOUT)
            if hidden in {b"", b".", b".."}:
                raise self._budget.refused(entry.name, "is a whiteout of nothing")
            self._drop((*folder, hidden))

    def _clear(self, folder: Parts) -> None:
        for name in self._inside.names(folder):
            self._drop((*folder, name))

    def _drop(self, real: Parts) -> None:
        if real not in self._brought:
            if self._inside.kind(real):
                self._inside.remove(real)
        elif self._inside.kind(real) == stat.S_IFDIR:
            self._clear(real)


# --- Writing


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """A folder of this machine that becomes one of the image."""

    source: Path
    target: str
    """Absolute, as it is inside."""
    uid: int = 0
    gid: int = 0
    keep: bool = False
    """A whole root as it is: permissions (without those that give rights away) and times of files stay, what is special below ``dev`` and
    what is mounted is left out. Otherwise modes are 0755, or 0644 for a file that cannot be executed, and times are ``epoch``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextFile:
    """A file of the image that is given as bytes."""

    path: str
    """Absolute, as it is inside."""
    data: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerWritten:
    """A layer that was written, uncompressed: its digest is its diff_id."""

    digest: str
    diff_id: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """An entry of a tree, by where it lies."""

    tree: Tree
    relative: bytes
    status: os.stat_result


_Item: TypeAlias = "_Found | TextFile | None"


def write_layer(trees: Sequence[Tree | TextFile], into: BinaryIO, *, epoch: int = 0) -> LayerWritten:
    """Write trees and files as one uncompressed layer, with the folders above them.

    The same trees give the same bytes: entries are sorted, times are ``epoch``, names of owners are empty. Links are kept as links, hard
    ones within a tree too. Of two files at one path the later one counts. Targets are not to lie behind a link of the image: the folders
    above them would take its place. Nobody may write to the trees meanwhile. Raises ``UnsafeError`` for what is neither file, folder nor
    link, or is called like a whiteout, and ``ConflictError`` for a path that is both folder and file.
    """
    items = _collect(trees)
    with ExitStack() as stack:
        writer = _LayerWriter(TarWriter(into, epoch=epoch), stack)
        for parts in sorted(items):
            writer.put(parts, items[parts])
        return writer.close()


def _collect(trees: Sequence[Tree | TextFile]) -> dict[Parts, _Item]:
    """All entries by their path; None for a folder that is only on the way."""
    items: dict[Parts, _Item] = {}
    for given in trees:
        if isinstance(given, TextFile):
            _add(items, _parts(given.path), given)
            continue
        base = _parts(given.target)
        for relative, status in _walk(given):
            parts = (*base, *relative.split(b"/")) if relative else base
            if parts:
                _add(items, parts, _Found(tree=given, relative=relative, status=status))
    return items


def _add(items: dict[Parts, _Item], parts: Parts, item: _Item) -> None:
    for length in range(len(parts) - 1, 0, -1):
        above = items.get(parts[:length], _Item)
        if above is not _Item and not _is_folder(above):
            raise _both(parts[:length])
        if above is not _Item:
            break
        items[parts[:length]] = None
    if parts in items and _is_folder(items[parts]) != _is_folder(item):
        raise _both(parts)
    items[parts] = item


def _both(parts: Parts) -> ConflictError:
    return ConflictError(f"{shown(b'/' + b'/'.join(parts))} would be both a folder and a file of the image.")


def _is_folder(item: object) -> bool:
    return item is None or (isinstance(item, _Found) and stat.S_ISDIR(item.status.st_mode))


def _parts(path: str) -> Parts:
    parts = tuple(part for part in os.fsencode(path).split(b"/") if part)
    if not path.startswith("/") or {b".", b".."} & set(parts) or b"\0" in os.fsencode(path):
        raise UnsafeError(f"{path!r:.200} is no plain absolute path.")
    return parts


class _LayerWriter:
    """Writes the entries of a layer, in the order in which they are put."""

    def __init__(self, tar: TarWriter, stack: ExitStack) -> None:
        self._tar, self._stack = tar, stack
        self._sources: dict[Path, int] = {}
        self._first: dict[tuple[int, int, int], bytes] = {}
        """Names of files that have several, by source and inode."""

    def put(self, parts: Parts, item: _Item) -> None:
        name = b"/".join(parts)
        if item is None:
            self._tar.own(0, 0)
            self._tar.folder(name)
        elif isinstance(item, TextFile):
            self._tar.own(item.uid, item.gid)
            self._tar.data(name, item.data, item.mode & 0o777)
        else:
            self._tar.own(item.tree.uid, item.tree.gid)
            self._found(name, item)

    def close(self) -> LayerWritten:
        digest, size = self._tar.close()
        return LayerWritten(digest=digest, diff_id=digest, size=size)

    def _found(self, name: bytes, item: _Found) -> None:
        status, keep = item.status, item.tree.keep
        source = self._source(item.tree.source)
        if stat.S_ISDIR(status.st_mode):
            self._tar.folder(name, status.st_mode & 0o1777 if keep else 0o755)
            return
        if stat.S_ISLNK(status.st_mode):
            self._tar.symlink(name, os.readlink(item.relative, dir_fd=source))
            return
        mode = status.st_mode & 0o777 if keep else (0o755 if status.st_mode & 0o111 else 0o644)
        if status.st_nlink > 1:
            before = self._first.setdefault((source, status.st_dev, status.st_ino), name)
            if before != name:
                self._tar.link(name, before, mode)
                return
        self._file(name, item, source, mode)

    def _file(self, name: bytes, item: _Found, source: int, mode: int) -> None:
        # The walk has seen no link on this path, and nobody writes there meanwhile.
        try:
            file = os.open(item.relative, _FILE, dir_fd=source)
        except OSError as error:
            raise UnreadableError(f"{shown(item.relative)} cannot be read: {error.strerror}.") from error
        try:
            mtime = max(int(item.status.st_mtime), 0) if item.tree.keep else None
            size = os.fstat(file).st_size
            self._tar.file(name, lambda view: os.readv(file, [view]), size, mode=mode, mtime=mtime)
        finally:
            os.close(file)

    def _source(self, folder: Path) -> int:
        if folder not in self._sources:
            self._sources[folder] = os.open(folder, _FOLDER)
            self._stack.callback(os.close, self._sources[folder])
        return self._sources[folder]


def _walk(tree: Tree) -> Iterator[tuple[bytes, os.stat_result]]:
    """Every entry below, the folder itself first, as a path with its status; by descriptors, following nothing."""
    top = os.open(tree.source, _FOLDER)
    try:
        status = os.fstat(top)
        yield b"", status
        yield from _below(top, b"", tree, status.st_dev)
    finally:
        os.close(top)


def _below(folder: int, prefix: bytes, tree: Tree, device: int) -> Iterator[tuple[bytes, os.stat_result]]:
    if prefix.count(b"/") > _DEEPEST:
        raise UnsafeError(f"{shown(prefix)} lies deeper than {_DEEPEST} folders.")
    inner: list[bytes] = []
    with os.scandir(folder) as found:
        for entry in found:
            name = os.fsencode(entry.name)
            status = entry.stat(follow_symlinks=False)
            if not _belongs(prefix + name, status, tree):
                continue
            yield prefix + name, status
            if stat.S_ISDIR(status.st_mode) and not (tree.keep and status.st_dev != device):
                inner.append(name)
    for name in inner:
        try:
            descriptor = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            raise UnreadableError(f"{shown(prefix + name)} cannot be read: {error.strerror}.") from error
        try:
            yield from _below(descriptor, prefix + name + b"/", tree, device)
        finally:
            os.close(descriptor)


def _belongs(path: bytes, status: os.stat_result, tree: Tree) -> bool:
    if path.rpartition(b"/")[2].startswith(_WHITEOUT):
        raise UnsafeError(f"{shown(path)} is called like a whiteout and would hide a file of the image.")
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
        return True
    if tree.keep and path.startswith(b"dev/"):
        return False
    raise UnsafeError(f"{shown(path)} is neither a file, a folder nor a link.")
