"""Waits for files to change, by inotify where there is it."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Self

__all__ = ["Folders", "Watch"]

# inotify(7): written to, moved in, made, closed after writing.
_CHANGES = 0x2 | 0x80 | 0x100 | 0x8
_GONE = 0x8000
"""The watch was removed, by us or with its folder."""
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
_EVENT = struct.Struct("iIII")
_FALLBACK = 0.1
"""Seconds of sleep where there is no inotify."""


class Watch:
    """Watches files and folders from the moment it is made, so that a change between a look and the wait is not missed.

    Use it as a context manager. A folder stands for what is in it.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._descriptor = _start(paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def fileno(self) -> int | None:
        """A descriptor that is readable after a change, for a selector; ``None`` without inotify."""
        return self._descriptor

    def wait(self, timeout: float) -> bool:
        """Wait until something changed, at most ``timeout`` seconds; whether something may have changed."""
        if self._descriptor is None:
            time.sleep(min(timeout, _FALLBACK))
            return True
        ready = select.select([self._descriptor], [], [], timeout)[0]
        with suppress(BlockingIOError):
            while ready and os.read(self._descriptor, 1 << 16):
                pass
        return bool(ready)


class Folders:
    """Watches folders that come and go, and tells which of them changed. Not for several threads at once; close it when done."""

    def __init__(self) -> None:
        self._descriptor = _start(())
        self._watches: dict[int, Path] = {}
        self._folders: dict[Path, int | None] = {}

    def fileno(self) -> int | None:
        """A descriptor that is readable after a change, for a selector; ``None`` without inotify: then look now and then."""
        return self._descriptor

    def add(self, folder: Path) -> None:
        """Watch a folder from now on. One that cannot be watched counts as changed at every look."""
        library, watch = _libc(), -1
        if library is not None and self._descriptor is not None:
            watch = library.inotify_add_watch(self._descriptor, os.fsencode(folder), _CHANGES)
        self._folders[folder] = None if watch < 0 else watch
        if watch >= 0:
            self._watches[watch] = folder

    def remove(self, folder: Path) -> None:
        """Watch it no more; harmless where it is not watched."""
        watch, library = self._folders.pop(folder, None), _libc()
        if watch is not None and library is not None and self._watches.pop(watch, None) is not None:
            library.inotify_rm_watch(self._descriptor, watch)

    def changed(self) -> set[Path]:
        """Those that changed since the last look, or may have."""
        found = {folder for folder, watch in self._folders.items() if watch is None}
        for watch, mask in self._heard():
            if watch < 0:  # more happened than the kernel keeps
                return set(self._folders)
            folder = self._watches.get(watch)
            if mask & _GONE:
                self._watches.pop(watch, None)
            if folder in self._folders:
                found.add(folder)
        return found

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _heard(self) -> Iterator[tuple[int, int]]:
        """Watch and mask of each struct inotify_event that waits (inotify(7))."""
        while self._descriptor is not None:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            offset = 0
            while offset < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, offset)
                yield watch, mask
                offset += _EVENT.size + length


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "inotify_init1") else None


def _start(paths: Sequence[Path]) -> int | None:
    """An inotify descriptor on all the paths; ``None`` where one of them cannot be watched, or all instances are taken."""
    library = _libc()
    descriptor = library.inotify_init1(_CLOEXEC_NONBLOCK) if library is not None else -1
    if library is None or descriptor < 0:
        return None
    for path in paths:
        if library.inotify_add_watch(descriptor, os.fsencode(path), _CHANGES) < 0:
            os.close(descriptor)
            return None
    return int(descriptor)
