"""Files in a directory that a hostile program wrote, or still writes: by descriptors, never through a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from djed.errors import UnsafeError

__all__ = ["Entry", "disk_use", "open_regular", "remove_at", "remove_tree", "walk_regular"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: to open a pipe for reading would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEEPEST = 128

_KINDS: dict[int, str] = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Something in the directory that is not itself a directory."""

    path: str
    """Relative to the directory; bytes that are no text are surrogate-escaped."""
    kind: Literal["file", "skipped"]
    size: int = 0
    """Bytes of a regular file."""
    mode: int = 0
    reason: str | None = None
    """Why it is skipped."""


def walk_regular(directory: Path, *, max_entries: int = 100_000) -> Iterator[Entry]:
    """Every file below, in order of name; what is no regular file comes as ``skipped`` with its reason, and is never followed.

    Raises ``UnsafeError`` where ``directory`` itself is no directory, and after ``max_entries`` entries.
    """
    left = max_entries
    with _opened(directory) as root:
        for entry in _walk(root, "", 0):
            left -= 1
            if left < 0:
                raise UnsafeError(f"There are more than {max_entries} entries in {directory.name!r}.")
            yield entry


@contextmanager
def open_regular(directory: Path, path: str) -> Iterator[int]:
    """A descriptor of the regular file ``path`` below ``directory``, open for reading.

    Raises ``UnsafeError`` for a link anywhere on the way.
    """
    parts = Path(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise UnsafeError(f"{path!r} is not a path inside {directory.name!r}.")
    try:
        with _opened(directory) as root:
            file = _descend(root, parts)
    except OSError as error:
        raise UnsafeError(f"{path!r} in {directory.name!r} cannot be opened: {error.strerror}.") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise UnsafeError(f"{path!r} in {directory.name!r} is not a regular file.")
        yield file
    finally:
        os.close(file)


def disk_use(directory: Path) -> int:
    """Bytes on disk of all that is below."""
    with _opened(directory) as root:
        return _use(root, 0)


def remove_tree(path: Path) -> None:
    """Remove a file or a whole tree; nothing happens where it is not there.

    Directories without permissions are opened up first. Raises ``OSError`` for what cannot be removed, after removing all that can.
    """
    with suppress(FileNotFoundError):
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_at(parent, path.name)
        finally:
            os.close(parent)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    try:
        descriptor = os.open(directory, _DIRECTORY)
    except OSError as error:
        raise UnsafeError(f"{directory.name!r} is not a directory: {error.strerror}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _walk(directory: int, prefix: str, depth: int) -> Iterator[Entry]:
    for name in sorted(os.listdir(directory)):
        path = prefix + name
        try:
            status = os.lstat(name, dir_fd=directory)
        except OSError:
            continue  # it has just gone
        if stat.S_ISREG(status.st_mode):
            yield Entry(path=path, kind="file", size=status.st_size, mode=stat.S_IMODE(status.st_mode))
        elif not stat.S_ISDIR(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "special file")
            yield Entry(path=path, kind="skipped", reason=f"a {kind} is not kept")
        elif depth >= _DEEPEST:
            yield Entry(path=path, kind="skipped", reason=f"deeper than {_DEEPEST} folders")
        else:
            try:
                inner = os.open(name, _DIRECTORY, dir_fd=directory)
            except OSError as error:
                yield Entry(path=path, kind="skipped", reason=f"cannot be read: {error.strerror}")
                continue
            try:
                yield from _walk(inner, path + "/", depth + 1)
            finally:
                os.close(inner)


def _descend(root: int, parts: tuple[str, ...]) -> int:
    current = os.dup(root)
    for index, part in enumerate(parts):
        try:
            inner = os.open(part, _FILE if index == len(parts) - 1 else _DIRECTORY, dir_fd=current)
        finally:
            os.close(current)
        current = inner
    return current


def _use(directory: int, depth: int) -> int:
    total = 0
    for name in os.listdir(directory):
        with suppress(OSError):
            status = os.lstat(name, dir_fd=directory)
            total += status.st_blocks * 512
            if stat.S_ISDIR(status.st_mode) and depth < _DEEPEST:
                inner = os.open(name, _DIRECTORY, dir_fd=directory)
                try:
                    total += _use(inner, depth + 1)
                finally:
                    os.close(inner)
    return total


def remove_at(parent: int, name: str) -> None:
    """Remove ``name`` in the folder ``parent``, a file or a whole tree, by descriptors. Raises ``OSError`` as ``remove_tree`` does."""
    try:
        os.unlink(name, dir_fd=parent)
    except OSError:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            raise
    else:
        return
    top = _open_for_removal(parent, name)
    try:
        # Again as long as the deep levels of the last round have been lifted up here.
        while _empty(top, top, 0):
            pass
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty(directory: int, top: int, depth: int) -> bool:
    """Remove what is in it, one descriptor a level; what lies too deep for that is lifted to the top. Returns whether something was."""
    lifted = False
    failure: OSError | None = None
    for name in os.listdir(directory):  # by descriptor
        try:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
                os.unlink(name, dir_fd=directory)
            elif depth >= _DEEPEST:
                os.rename(name, f".lifted-{os.urandom(8).hex()}", src_dir_fd=directory, dst_dir_fd=top)
                lifted = True
            else:
                inner = _open_for_removal(directory, name)
                try:
                    lifted |= _empty(inner, top, depth + 1)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            failure = error
    if failure is not None:
        raise failure
    return lifted


def _open_for_removal(parent: int, name: str) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        # Its owner took his own rights away. The mode is changed through a descriptor that cannot be a link.
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
        try:
            Path(f"/proc/self/fd/{descriptor}").chmod(0o700)
        finally:
            os.close(descriptor)
        return os.open(name, _DIRECTORY, dir_fd=parent)
