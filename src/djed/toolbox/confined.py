"""A folder that hostile archives are written into: every step by descriptor, no link followed by the system, nothing ever outside."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from djed.errors import UnsafeError
from djed.toolbox.fs import remove_at
from djed.toolbox.tar_reader import shown

__all__ = ["Confined", "Parts", "finish"]

Parts = tuple[bytes, ...]
"""A path below the folder, by its names; empty for the folder itself."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = 64
_LINKS = 40
"""As many as the kernel follows."""


class Confined:
    """Writes below ``root``, which must exist.

    With ``follow``, a link on the way to a folder is resolved by hand, with ``root`` as ``/`` and ``..`` never above it, as inside a
    container; without, it is refused. At most ``folders`` are made because something in them comes first, and none deeper than ``depth``.
    Nobody else may write below ``root`` meanwhile. Messages begin with ``name``.
    """

    def __init__(self, root: Path, *, name: str, follow: bool, folders: int, depth: int) -> None:
        self._name, self._follow, self._folders, self._depth = name, follow, folders, depth
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[Parts, int] = {}
        self._known: dict[Parts, Parts] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        os.close(self._root)

    # --- Folders

    def enter(self, parts: Parts) -> tuple[int, Parts]:
        """Descriptor of a folder, made where it is missing, and its path without links. The descriptor is good until the next call."""
        real = self._known.get(parts)
        if real is None:
            real = self._resolve(parts)
            self._known[parts] = real
        return self._descriptor(real), real

    def find(self, parts: Parts) -> Parts | None:
        """Path without links of a folder; None where there is no such folder."""
        try:
            return self._resolve(parts, make=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _resolve(self, parts: Parts, *, make: bool = True) -> Parts:
        ahead, links = list(reversed(parts)), 0
        at: Parts = ()
        while ahead:
            part = ahead.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                at = at[:-1]
                continue
            if (target := self._step(at, part, parts if make else None)) is None:
                at = (*at, part)
                if len(at) > self._depth:
                    raise self._refused(parts, f"lies deeper than {self._depth} folders")
                continue
            links += 1
            if links > _LINKS:
                raise self._refused(parts, "goes through too many links")
            at = () if target.startswith(b"/") else at
            ahead.extend(reversed(target.split(b"/")))
        return at

    def _step(self, at: Parts, part: bytes, wanted: Parts | None) -> bytes | None:
        """Open the folder ``part`` in the folder ``at``; where it is a link that may be followed, return its target instead.

        What is not there is made on the way to ``wanted``.
        """
        folder = self._descriptor(at)
        try:
            inner = os.open(part, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if wanted is None:
                raise
            inner = self._missing(folder, part, wanted)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise self._refused(
                    wanted or (*at, part), "goes through a link with too long a name"
                ) from None
            if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            return self._target(folder, part, wanted)
        self._remember((*at, part), inner)
        return None

    def _target(self, folder: int, part: bytes, wanted: Parts | None) -> bytes:
        """Where the link ``part`` leads, which is no folder itself."""
        if not stat.S_ISLNK(os.lstat(part, dir_fd=folder).st_mode):
            if wanted is None:
                raise NotADirectoryError
            raise self._refused(wanted, "goes through something that is no folder")
        if not self._follow:
            raise self._refused(wanted or (part,), "goes through a link")
        return os.readlink(part, dir_fd=folder)

    def _missing(self, folder: int, part: bytes, wanted: Parts) -> int:
        """Make a folder that no entry has named yet."""
        self._folders -= 1
        if self._folders < 0:
            raise self._refused(wanted, "lies in one folder too many")
        os.mkdir(part, 0o755, dir_fd=folder)
        return os.open(part, _FOLDER, dir_fd=folder)

    def _descriptor(self, real: Parts) -> int:
        if not real:
            return self._root
        if (known := self._open.get(real)) is not None:
            return known
        inner = os.open(real[-1], _FOLDER, dir_fd=self._descriptor(real[:-1]))
        self._remember(real, inner)
        return inner

    def _remember(self, real: Parts, descriptor: int) -> None:
        old = self._open.pop(real, None)
        if old is not None:
            os.close(old)
        elif len(self._open) >= _OPEN:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[real] = descriptor

    def _forget(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        self._known.clear()

    # --- What is written. Each raises ``FileExistsError`` for what is there already.

    def folder(self, parts: Parts, mode: int) -> Parts:
        """A new folder, which its owner can always use. Returns where it really is."""
        folder, real = self.enter(parts[:-1])
        os.mkdir(parts[-1], 0o700, dir_fd=folder)
        os.chmod(parts[-1], mode & 0o1777 | 0o700, dir_fd=folder)
        return (*real, parts[-1])

    def change(self, parts: Parts, mode: int) -> None:
        """Give an existing folder, which no link leads to, another mode."""
        os.fchmod(self._descriptor(parts), mode & 0o1777 | 0o700)

    def file(self, parts: Parts) -> int:
        """A new file, open for writing; to be given to ``finish``."""
        folder, _ = self.enter(parts[:-1])
        return os.open(parts[-1], _NEW, 0o600, dir_fd=folder)

    def symlink(self, parts: Parts, target: bytes) -> None:
        """A new symbolic link; its target is not looked at."""
        folder, _ = self.enter(parts[:-1])
        os.symlink(target, parts[-1], dir_fd=folder)

    def link(self, parts: Parts, target: Parts, *, kinds: frozenset[int]) -> None:
        """Another name of something that is there, itself and not what it may point to."""
        # One after another: entering the second folder may close the first.
        folder, real = self.enter(target[:-1])
        try:
            kind = stat.S_IFMT(os.lstat(target[-1], dir_fd=folder).st_mode)
        except FileNotFoundError:
            kind = 0
        if kind not in kinds:
            raise self._refused(parts, "is a link to something that is no file in it")
        source = os.dup(self._descriptor(real))
        try:
            folder, _ = self.enter(parts[:-1])
            os.link(target[-1], parts[-1], src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.EMLINK:
                raise self._refused(parts, "is one name too many of one file") from None
            raise
        finally:
            os.close(source)

    # --- What is there

    def kind(self, parts: Parts) -> int:
        """Type bits of what is at a path whose folder is made where missing; 0 where there is nothing."""
        folder, _ = self.enter(parts[:-1])
        with suppress(FileNotFoundError):
            return stat.S_IFMT(os.lstat(parts[-1], dir_fd=folder).st_mode)
        return 0

    def names(self, real: Parts) -> list[bytes]:
        """What is in a folder, which no link leads to."""
        return [os.fsencode(name) for name in os.listdir(self._descriptor(real))]  # noqa: PTH208  # by descriptor

    def remove(self, parts: Parts) -> None:
        """Remove what is at the path, with all that is below."""
        folder, _ = self.enter(parts[:-1])
        copy = os.dup(folder)
        try:
            # Other paths may have led through it.
            self._forget()
            remove_at(copy, os.fsdecode(parts[-1]))
        finally:
            os.close(copy)

    def _refused(self, parts: Parts, why: str) -> UnsafeError:
        return UnsafeError(f"{self._name} holds {shown(b'/'.join(parts))}, which {why}.")


def finish(descriptor: int, mode: int, mtime: int) -> None:
    """Give a written file its mode, without the right to become someone else, and its time; and close it."""
    try:
        os.fchmod(descriptor, mode & 0o777 | 0o600)
        os.utime(descriptor, (mtime, mtime))
    finally:
        os.close(descriptor)
