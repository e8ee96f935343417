"""Captures a stream of any length into a file of bounded size: its head, a marker line, its tail."""

import errno
import os

TAIL = 64 * 1024


class Capture:
    """One stream.

    The head is written as it comes, so that a follower sees each line at once. What comes after it passes through a ring of the size of the
    tail. Memory and disk are bounded whatever the job writes.
    """

    def __init__(self, path, cap):
        self.size = 0
        self.error = None
        self._kept = 0
        self._tail_size = min(TAIL, cap // 2)
        self._head_size = cap - self._tail_size
        self._tail = bytearray()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)

    def feed(self, data):
        """Take what the job wrote."""
        room = self._head_size - self.size
        self.size += len(data)
        if room > 0:
            self._write(data[:room])
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_size:
            del self._tail[: len(self._tail) - self._tail_size]

    def close(self):
        """Write the tail; return what result.json says of a stream."""
        del self._tail[: max(0, len(self._tail) - self._tail_size)]
        left_out = max(0, self.size - self._head_size - len(self._tail))
        if left_out:
            self._write(b"\n[djed: %d bytes left out]\n" % left_out)
        self._write(bytes(self._tail))
        os.close(self._file)
        return {"size": self.size, "kept": self._kept, "truncated": bool(left_out) or self.error is not None}

    def _write(self, data):
        """Write; after a failure only count, for the pipe must be drained whatever happens."""
        view = memoryview(data)
        while view and self.error is None:
            try:
                count = os.write(self._file, view)
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                self.error = "no space left on the device for its output" if full else "its output could not be written: %s" % error.strerror
                return
            self._kept += count
            view = view[count:]
