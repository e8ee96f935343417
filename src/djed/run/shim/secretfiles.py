"""Takes the secrets of a job in, hands them to it as files, and takes these away when it is over.

They come as JSON on stdin, from memory, and are kept in the memory of this process alone. bubblewrap copies each from a descriptor into the
memory of the sandbox; without a sandbox they lie in a folder that the runner chose, in memory too where there is such a place.
"""

import base64
import json
import os
import resource
import shutil

from capture import Capture
from mask import Mask, Patterns
from withhold import Withhold


class Secrets:
    """The secrets of one job."""

    def __init__(self, order):
        self._folder = order["secrets"]["folder"]
        self._boxed = order["level"] == "bwrap"
        self._made = False
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # an image of this process would hold them
        values = json.loads(_take_stdin().decode() or "{}")
        if set(values) != set(order["secrets"]["names"]):
            raise ValueError("the secrets of the job were not handed over")
        self._values = {name: base64.b64decode(values[name]) for name in values}
        self.patterns = Patterns(self._values)

    def hand_over(self):
        """Write the files; for a sandbox instead return a descriptor and the path inside for each."""
        if self._boxed:
            return [(_anonymous(self._values[name]), self._folder + "/" + name) for name in sorted(self._values)]
        os.mkdir(self._folder, 0o700)
        self._made = True
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for name, value in self._values.items():
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                _write(os.open(name, flags, 0o400, dir_fd=folder), value, close=True)
        finally:
            os.close(folder)
        return []

    def capture(self, path, cap):
        """A capture in which their values are masked."""
        return MaskedCapture(path, cap, Mask(self.patterns))

    def withhold(self, folder):
        """Take away what holds one of them in a folder of the job; return what there is to tell."""
        return Withhold(self.patterns).search(folder) if self.patterns.longest else []

    def remove(self):
        """Take the files away. What is left of them the runner removes."""
        if self._made:
            shutil.rmtree(self._folder, ignore_errors=True)


class MaskedCapture(Capture):
    """A capture of what a mask lets through."""

    def __init__(self, path, cap, mask):
        Capture.__init__(self, path, cap)
        self._mask = mask

    def feed(self, data):
        Capture.feed(self, self._mask.feed(data))

    def close(self):
        Capture.feed(self, self._mask.feed(b"", final=True))
        return Capture.close(self)


def _take_stdin():
    """All of stdin, which is empty from then on: /proc must not show it."""
    parts = []
    while True:
        data = os.read(0, 1 << 20)
        if not data:
            break
        parts.append(data)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return b"".join(parts)


def _anonymous(data):
    """A descriptor of a file in memory that has no name, at its beginning."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("djed")
    else:  # before Python 3.8
        fd = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    _write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _write(fd, data, close=False):
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
    finally:
        if close:
            os.close(fd)
