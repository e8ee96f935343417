"""Waits for files to change, by inotify where there is it."""

from __future__ import annotations

import ctypes
import os
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Self

__all__ = ["Watch"]

# inotify(7): written to, moved in, made, closed after writing.
_CHANGES = 0x2 | 0x80 | 0x100 | 0x8
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
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
