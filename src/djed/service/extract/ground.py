"""Where what was found is kept, and where images are unpacked to be looked into."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from djed.model.contents import Contents
from djed.observe.contents.cache import cached
from djed.toolbox.digest import digest_json
from djed.toolbox.folder import writing
from djed.toolbox.fs import remove_tree

__all__ = ["Ground"]

_PREFIX = ".unpacked-"
_NEW = 60.0
"""Seconds that somebody may need to lock a folder that he has just made."""


class Ground:
    """A folder of the data folder."""

    def __init__(self, folder: Path, arch: str) -> None:
        self._folder = folder
        self.arch = arch
        """Of the machine whose images are looked into."""

    def kept(self, key: str, make: Callable[[], Contents]) -> Contents:
        """What was found under that digest before, else what ``make`` finds."""
        return cached(self._folder, key, make)

    def kept_of(self, path: Path, make: Callable[[], Contents]) -> Contents:
        """What was found in a file before, else what ``make`` finds. A file that was written since is another one."""
        found = path.stat()
        facts = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        return self.kept(digest_json([os.fspath(path), *facts, self.arch]), make)

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A folder of our own for as long as this lasts; those of processes that were killed go on the way.

        What it costs to write there is told as of the data folder: ``StoreFullError``, ``StoreError``.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep()
            room = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._folder))
        lock = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield room
        finally:
            remove_tree(room)
            os.close(lock)

    def _sweep(self) -> None:
        for room in self._folder.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                lock = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if time.time() - os.fstat(lock).st_mtime > _NEW:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        remove_tree(room)
                finally:
                    os.close(lock)
