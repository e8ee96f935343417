"""Looks for the values of secrets in what a job left, and takes away what holds one, before anybody keeps it.

The job is over, so nothing moves any more; still no link is followed.
"""

import os
import stat
import time

from mask import Mask

CHUNK = 1024 * 1024
SECONDS = 60.0  # what was not searched by then is not kept either
DEEPEST = 128  # deeper folders are not kept by anybody
MOST = 1000  # entries that are told one by one


class Withhold:
    """One search through a folder; ``told`` says what was taken away and why, as ``Result.skipped`` does."""

    def __init__(self, patterns):
        self.told = []
        self._patterns = patterns
        self._deadline = time.monotonic() + SECONDS
        self._more = 0

    def search(self, path):
        """Search a folder; return what there is to tell. Raises RuntimeError where something cannot be taken away."""
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return []  # the job took it away, or put something else there: nothing of that is kept
        try:
            self._folder(folder, "", 0)
        except OSError as error:
            # Not the error itself: it names the file, and a name may hold a secret.
            raise RuntimeError("what the job left cannot be searched for its secrets: %s" % error.strerror) from None
        if self._more:
            self.told.append("and %d more" % self._more)
        return self.told

    def _folder(self, folder, prefix, depth):
        """Takes over the descriptor."""
        try:
            for name in sorted(os.listdir(folder)):
                mode = os.lstat(name, dir_fd=folder).st_mode
                secret = self._patterns.first(os.fsencode(prefix + name))
                if secret is not None:
                    self._tell(prefix + name, "its name contains the secret " + secret)
                    os.fchmod(folder, 0o700)
                if stat.S_ISDIR(mode):
                    if secret is not None:
                        hidden = "withheld-" + os.urandom(8).hex()
                        os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=folder)
                        name = hidden
                    self._inner(folder, name, prefix, depth)
                elif secret is not None:
                    os.unlink(name, dir_fd=folder)
                elif stat.S_ISREG(mode):
                    self._file(folder, name, prefix)
        finally:
            os.close(folder)

    def _inner(self, folder, name, prefix, depth):
        if depth < DEEPEST:
            try:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except OSError:
                return  # what cannot be read is not kept
            self._folder(inner, prefix + name + "/", depth + 1)

    def _file(self, folder, name, prefix):
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            reason = "cannot be searched for secrets"
        else:
            try:
                reason = self._reason(file)
            finally:
                os.close(file)
        if reason is not None:
            os.fchmod(folder, 0o700)
            os.unlink(name, dir_fd=folder)
            self._tell(prefix + name, reason)

    def _reason(self, file):
        """Why a file is not kept."""
        kept = b""
        while True:
            if time.monotonic() > self._deadline:
                return "was not searched for secrets in time"
            data = os.read(file, CHUNK)
            if not data:
                return None
            text = kept + data
            secret = self._patterns.first(text)
            if secret is not None:
                return "contains the secret " + secret
            kept = text[1 - self._patterns.longest:]

    def _tell(self, path, reason):
        if len(self.told) < MOST:
            shown = Mask(self._patterns).feed(os.fsencode(path), final=True)
            self.told.append("%s: %s" % (os.fsdecode(shown), reason))
        else:
            self._more += 1
