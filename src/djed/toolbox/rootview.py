"""A folder as if it were the root of a file system: links lead within it, and nothing is reached by way of them outside.

An unpacked image is full of links that mean places in the image (``/lib -> usr/lib``, ``/etc/alternatives/…``), and a hostile one has
links that mean places of ours. Paths are resolved here one component at a time, by descriptors that follow no link; what a link says is
then resolved in the same way, with ``/`` and too many ``..`` meaning the folder itself.

Standard library only: it is used inside jobs too.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from djed.errors import UnsafeError

__all__ = ["Bounded", "RootView", "printable", "read_all"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: to open a pipe for reading would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_LINKS = 40  # as in the kernel
_MAX_PARTS = 512


class RootView:
    """A folder that is taken for a root. Use it as a context manager, or close it.

    Methods raise ``OSError`` as the system does: ``FileNotFoundError`` for what is not there, ``ELOOP`` for too many links. Paths are
    taken from the root, with or without a leading ``/``.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ``UnsafeError`` where ``folder`` is no directory (a link to one is followed: it is the caller's own)."""
        try:
            self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UnsafeError(
                f"{folder.name!r} is not a folder that can be read: {error.strerror}."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._root)

    @contextmanager
    def open(self, path: str) -> Iterator[int]:
        """A descriptor of a regular file, open for reading. Raises ``OSError`` with ``EINVAL`` for anything else."""
        descriptor = self._resolve(path, _open_file)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def folder(self, path: str) -> Iterator[int]:
        """A descriptor of a directory."""
        descriptor = self._resolve(path, _open_directory)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, path: str, most: int) -> bytes:
        """A regular file, whole. Raises ``OSError`` with ``EFBIG`` where it has more than ``most`` bytes."""
        with self.open(path) as descriptor:
            return read_all(descriptor, most)

    def names(self, path: str) -> list[str]:
        """What lies in a directory, sorted; nothing where there is no such directory."""
        try:
            with self.folder(path) as descriptor:
                return _names(descriptor)
        except OSError:
            return []

    def _resolve(self, path: str, opened: _Opener) -> int:
        """The descriptor that ``opened`` makes of the last component; those of the way to it are closed."""
        way = [os.dup(self._root)]
        try:
            return _descend(way, path, opened)
        finally:
            for descriptor in way:
                os.close(descriptor)


class Bounded:
    """Reads files of a root up to a number of bytes in all: by links, one large file can be had any number of times."""

    def __init__(self, files: RootView, size: int) -> None:
        self._files = files
        self._left = size

    def read(self, path: str, most: int) -> bytes:
        """As :meth:`RootView.read`; ``EFBIG`` also where all that may be read was read."""
        if self._left <= 0:
            raise OSError(errno.EFBIG, "there is more of its kind than is read")
        data = self._files.read(path, most)
        self._left -= len(data) + 1
        return data


def read_all(descriptor: int, most: int) -> bytes:
    """All bytes of a regular file. Raises ``OSError`` with ``EFBIG`` where there are more than ``most``."""
    size = os.fstat(descriptor).st_size
    if size > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    data = os.read(descriptor, size + 1)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data


def printable(text: str) -> str:
    r"""A path or name as text that can be written as UTF-8: bytes that are none become ``\xff``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text).decode(errors="backslashreplace")
    return text


class _Opener:
    """How the last component is opened."""

    __slots__ = ("flags", "regular")

    def __init__(self, flags: int, *, regular: bool) -> None:
        self.flags = flags
        self.regular = regular

    def __call__(self, name: str, folder: int) -> int:
        """Raises ``OSError`` with ``ELOOP`` or ``ENOTDIR`` for a link."""
        if not self.regular:
            return os.open(name, self.flags, dir_fd=folder)
        # Looked at first: merely to open a device can do something.
        _must_be_regular(os.lstat(name, dir_fd=folder).st_mode)
        descriptor = os.open(name, self.flags, dir_fd=folder)
        try:
            _must_be_regular(os.fstat(descriptor).st_mode)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


_open_file = _Opener(_FILE, regular=True)
_open_directory = _Opener(_DIRECTORY, regular=False)


def _names(folder: int) -> list[str]:
    return sorted(os.listdir(folder))


def _must_be_regular(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "a link")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "no regular file")


def _descend(way: list[int], path: str, opened: _Opener) -> int:
    """Open ``path`` from the last of ``way``, whose first is the root; the directories that are passed are added to ``way``."""
    pending = _parts(path)
    links = 0
    while pending:
        name = pending.pop()
        if name == "..":
            if len(way) > 1:
                os.close(way.pop())
            continue
        opener = opened if not pending else _open_directory
        try:
            descriptor = opener(name, way[-1])
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
            links += 1
            pending += _parts(_link(name, way, error, links))
            if len(pending) > _MAX_PARTS:
                raise OSError(errno.ENAMETOOLONG, "too long a path") from error
            continue
        if not pending:
            return descriptor
        way.append(descriptor)
    # The path ended in "..", or in a link to such a place.
    return opened(".", way[-1])


def _link(name: str, way: list[int], error: OSError, links: int) -> str:
    """What the link says; where it begins with ``/``, ``way`` is taken back to the root. Raises ``error`` where it is no link."""
    try:
        target = os.readlink(name, dir_fd=way[-1])
    except OSError:
        raise error from None
    if links > _MAX_LINKS:
        raise OSError(errno.ELOOP, "too many links")
    if target.startswith("/"):
        while len(way) > 1:
            os.close(way.pop())
    return target


def _parts(path: str) -> list[str]:
    """Components, the first one last."""
    if "\0" in path:
        raise OSError(errno.EINVAL, "a zero byte in a path")
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]
