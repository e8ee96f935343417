"""Wake-ups between the threads and processes of one machine that share a data folder, so that nobody polls.

Who waits has a named pipe in ``<data>/bells``; who changes something writes a byte into each. A pipe without a reader belongs to a process
that is gone and is removed by whoever notices. Beside each pipe lies a lock file that the waiter holds while it lives: the operating system
lets go of it even after ``kill -9``, which is how the others learn of a death at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import select
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Bell", "alive", "bury", "dead", "ring"]


class Bell:
    """Something to wait at. Close it when done. Raises ``StoreError`` where the folder cannot be written."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.name = name or secrets.token_hex(8)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_path, self._path = folder / f"{self.name}.lock", folder / f"{self.name}.bell"
        # Both get their names only when they are held: until then a neighbour would take them for those of a dead one.
        draft = folder / f"{self.name}.draft"
        self._lock = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        draft.rename(self._lock_path)
        os.mkfifo(draft, 0o600)
        # Read and write: a pipe whose last writer closes would be readable for ever.
        self._pipe = os.open(draft, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        draft.rename(self._path)
        self._guard = threading.Lock()
        self._closed = False
        self.rung = False
        """Whether it was rung when last waited for."""

    def wait(self, timeout: float, also: Sequence[int] = ()) -> set[int]:
        """Wait until rung, until a descriptor of ``also`` is readable, or for ``timeout`` seconds. The readable ones of ``also``."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        for descriptor in also:
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, timeout) * 1000)}
        self.rung = self._pipe in ready
        if self.rung:
            try:
                while os.read(self._pipe, 4096):
                    pass
            except BlockingIOError:
                pass
        return ready - {self._pipe}

    def ring(self) -> None:
        """Wake the one who waits here; from any thread, and harmless when it is closed."""
        with self._guard:
            if not self._closed:
                _write(self._pipe)

    def close(self) -> None:
        """Take the bell away."""
        with self._guard:
            self._closed = True
        self._path.unlink(missing_ok=True)
        self._lock_path.unlink(missing_ok=True)
        os.close(self._pipe)
        os.close(self._lock)


def ring(folder: Path, *, but: str | None = None) -> None:
    """Wake all who wait in this folder, ``but`` one: who makes a change need not be told of it."""
    try:
        names = [
            entry.path
            for entry in os.scandir(folder)
            if entry.name.endswith(".bell") and entry.name != f"{but}.bell"
        ]
    except FileNotFoundError:
        return
    for path in names:
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no reader: its process is gone
                Path(path).unlink(missing_ok=True)
            continue
        try:
            _write(pipe)
        finally:
            os.close(pipe)


def dead(folder: Path) -> list[str]:
    """Names of bells whose process is gone, until they are buried."""
    found = []
    for path in folder.glob("*.lock"):
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            found.append(path.stem)
        finally:
            os.close(lock)
    return found


def alive(folder: Path) -> list[str]:
    """Names of bells at which somebody waits."""
    gone = set(dead(folder))
    return [path.stem for path in folder.glob("*.lock") if path.stem not in gone]


def bury(folder: Path, name: str) -> None:
    """Remove what a dead one left, after its work was taken over."""
    for ending in ("bell", "lock"):
        (folder / f"{name}.{ending}").unlink(missing_ok=True)


def _write(pipe: int) -> None:
    with suppress(
        BlockingIOError, BrokenPipeError
    ):  # full: it will wake anyway; closed just now: nobody waits
        os.write(pipe, b"\0")
