"""Contents by digest: logs, inputs and outputs, as files ``blobs/sha256/ab/cdef…`` that are never changed."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from djed.errors import NotFoundError, RequestError, TooLargeError
from djed.toolbox.folder import writing

__all__ = ["Blobs"]

_DIGEST = re.compile(r"sha256:([0-9a-f]{2})([0-9a-f]{62})")
_CHUNK = 2**20


class Blobs:
    """The blobs of a store. Safe for threads and processes: a blob appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """The file with that content. Raises ``NotFoundError``."""
        path = self._place(digest)
        if not path.is_file():
            raise NotFoundError(
                f"The content {digest} is not in the store.", hint="It may have been removed by: djed gc"
            )
        return path

    def put(self, data: bytes) -> str:
        """Keep bytes; the digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        try:
            os.utime(self._place(digest))  # young again, so that a clean-up leaves it to whoever puts it
        except OSError:
            self._write(iter((data,)))
        return digest

    def put_stream(self, stream: BinaryIO, *, limit: int | None = None, expected: str | None = None) -> str:
        """Keep the rest of a stream, in constant memory; the digest.

        Raises ``TooLargeError`` beyond ``limit`` bytes, ``RequestError`` where the content has another digest than ``expected``.
        """
        if expected is not None:
            self._place(expected)
        return self._write(_capped(iter(lambda: stream.read(_CHUNK), b""), limit), expected)

    def get(self, digest: str) -> bytes:
        """The content. Raises ``NotFoundError``."""
        return self.path(digest).read_bytes()

    def has(self, digest: str) -> bool:
        """Whether that content is there."""
        return self._place(digest).is_file()

    def part(self, digest: str, offset: int, limit: int | None) -> bytes:
        """Some of the content: at most ``limit`` bytes from ``offset`` on. Raises ``NotFoundError``."""
        with self.path(digest).open("rb") as file:
            file.seek(offset)
            return file.read(-1 if limit is None else limit)

    def all(self) -> Iterator[tuple[str, int, float]]:
        """Digest, bytes and time of change of every blob."""
        for path in self.root.glob("sha256/??/*"):
            if len(path.name) == 62:
                stat = path.stat()
                yield f"sha256:{path.parent.name}{path.name}", stat.st_size, stat.st_mtime

    def remove(self, digest: str) -> None:
        """Forget a content."""
        self._place(digest).unlink(missing_ok=True)

    def _place(self, digest: str) -> Path:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise NotFoundError(f"{digest!r} is not a digest.")
        return self.root / "sha256" / match[1] / match[2]

    def _write(self, chunks: Iterator[bytes], expected: str | None = None) -> str:
        """Written under a name of its own, then renamed: a crash leaves no half content under a digest."""
        draft = self.root / f"draft-{secrets.token_hex(8)}"
        total = hashlib.sha256()
        with writing(self.root):
            try:
                self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
                with draft.open("xb") as file:
                    for chunk in chunks:
                        total.update(chunk)
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                digest = "sha256:" + total.hexdigest()
                _check(digest, expected)
                place = self._place(digest)
                place.parent.mkdir(parents=True, exist_ok=True)
                draft.rename(place)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        return digest


def _capped(chunks: Iterator[bytes], limit: int | None) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if limit is not None and size > limit:
            raise TooLargeError(f"The content has more than {limit:,} bytes.")
        yield chunk


def _check(digest: str, expected: str | None) -> None:
    if expected is not None and digest != expected:
        raise RequestError(f"The content has the digest {digest}, not {expected}.")
