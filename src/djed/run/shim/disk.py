"""Weighs what a job leaves in its directories, a little at a time, without following a link."""

import os
import stat
import time

STEP = 0.02  # seconds of walking at once: meanwhile nobody drains the job's output
DEEPEST = 200
ROUTINE = 10.0  # seconds between walks where free space gives no cause for one


class DiskWatch:
    """Watches the disk use of some directories against a limit."""

    def __init__(self, directories, limit):
        self.exceeded = False
        self._directories = directories
        self._limit = limit
        self._free = _free(directories)
        self._walk = None
        self._sum = 0
        self._last = time.monotonic()

    def check(self):
        """Walk for a moment where there is cause to; return whether the limit is known to be exceeded."""
        if self._walk is None and self._cause():
            self._walk = walk(self._directories)
            self._sum = 0
        end = time.monotonic() + STEP
        while self._walk is not None and not self.exceeded and time.monotonic() < end:
            self._step()
        return self.exceeded

    def settle(self):
        """A last look, when the command has ended."""
        if self._walk is None and not self._cause():
            return self.exceeded
        self._walk, self._sum = walk(self._directories), 0
        while self._walk is not None and not self.exceeded:
            self._step()
        return self.exceeded

    def _cause(self):
        # Free space is cheap to ask and shared with others: it can only hint that a walk is due.
        return self._free - _free(self._directories) > self._limit // 2 or time.monotonic() - self._last > ROUTINE

    def _step(self):
        size = next(self._walk, None)
        if size is None:
            self._walk = None
            self._last = time.monotonic()
        else:
            self._sum += size
            self.exceeded = self._sum >= self._limit  # a file may grow to the limit exactly (RLIMIT_FSIZE)


def walk(directories):
    """Yield the bytes on disk of directory after directory; depth first, by descriptors, so that no name can lead astray."""
    for path in directories:
        try:
            root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        for size in _walk(root, 0):
            yield size


def _walk(directory, depth):
    """Takes over the descriptor."""
    size = 0
    inner = []
    try:
        for name in os.listdir(directory):
            try:
                status = os.lstat(name, dir_fd=directory)
            except OSError:
                continue
            size += status.st_blocks * 512
            if stat.S_ISDIR(status.st_mode):
                inner.append(name)
        yield size
        if inner and depth >= DEEPEST:
            yield float("inf")  # each level costs a descriptor; nobody goes that deep but to hide
            return
        for name in inner:
            try:
                child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            except OSError:
                continue
            for size in _walk(child, depth + 1):
                yield size
    finally:
        os.close(directory)


def _free(directories):
    try:
        status = os.statvfs(directories[0])
    except (OSError, IndexError):
        return 0
    return status.f_bfree * status.f_frsize
