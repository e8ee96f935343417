"""Digests of Python source files, made beside the walk that finds them: hashing does not hold the interpreter."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from djed.model.contents import PythonFile
from djed.observe.contents.skipped import Budget, Skipped
from djed.toolbox.rootview import printable, read_all

__all__ = ["Digests"]

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_FILE = 64 * 2**20
_MAX_ALL = 8 * 2**30
_MAX_FILES = 1_000_000
# A folder that waits holds a descriptor.
_WAITING = 64


class Digests:
    """Takes folders with names of source files and hashes them. Use it as a context manager; the digests are there after it."""

    def __init__(self, skipped: Skipped) -> None:
        self._skipped = skipped
        self._budget = Budget(_MAX_ALL)
        self._count = Budget(_MAX_FILES)
        self._slots = threading.BoundedSemaphore(_WAITING)
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(4, len(os.sched_getaffinity(0)))))
        self._futures: list[Future[list[PythonFile]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=False)

    def add(self, folder: int, path: str, names: list[str]) -> None:
        """Hash those files of a folder; its descriptor may be closed when this returns."""
        self._slots.acquire()
        self._futures.append(self._pool.submit(self._folder, os.dup(folder), path, names))

    def all(self) -> tuple[PythonFile, ...]:
        """Sorted by path."""
        found = [file for future in self._futures for file in future.result()]
        found.sort(key=lambda file: file.path)
        return tuple(found)

    def _folder(self, folder: int, path: str, names: list[str]) -> list[PythonFile]:
        try:
            files = [(name, self._digest(folder, path, name)) for name in names]
        finally:
            os.close(folder)
            self._slots.release()
        return [
            PythonFile(path=printable(f"{path}/{name}"), sha256=digest) for name, digest in files if digest
        ]

    def _digest(self, folder: int, path: str, name: str) -> str | None:
        try:
            descriptor = os.open(name, _FILE, dir_fd=folder)
        except OSError as error:
            self._skipped.add(f"{path}/{name}", f"cannot be read: {error.strerror}")
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            if not self._count.take(1) or not self._budget.take(status.st_size):
                self._skipped.add(f"{path}/{name}", "there is more Python source than is read")
                return None
            return hashlib.sha256(read_all(descriptor, _MAX_FILE)).hexdigest()
        except OSError as error:
            self._skipped.add(f"{path}/{name}", f"cannot be read: {error.strerror}")
            return None
        finally:
            os.close(descriptor)
