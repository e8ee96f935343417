"""What was found, kept by the digest of what was looked into: the same image is looked into once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from djed.model.codec import decode, encode
from djed.model.contents import Contents, PythonFile

__all__ = ["cached"]

# Raised with every change of what is read, so that nothing older is taken for it.
_FORMAT = 1
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST = 2**30
_FILES = "python_files"


def cached(folder: Path, digest: str, make: Callable[[], Contents]) -> Contents:
    """What was kept in ``folder`` for that digest, else what ``make`` returns, which is then kept.

    What is kept is written as a whole or not at all, and checked when it is read; what does not pass is made again. A cache that cannot
    be written is none: the contents come all the same. Raises ``ValueError`` for what is no digest.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest")
    path = folder / f"{digest.removeprefix('sha256:')}.json"
    kept = _read(path)
    if kept is not None:
        return kept
    made = make()
    with suppress(OSError):
        _write(path, made)
    return made


def _read(path: Path) -> Contents | None:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > _MOST:
                return None
            head, body = file.readline(200), file.read()
        if head != _head(body):
            return None
        data = json.loads(body)
        # The one long list: read by itself, several times as fast.
        files = tuple(PythonFile(path=name, sha256=sha256) for name, sha256 in data.pop(_FILES, {}).items())
        return replace(decode(Contents, data), python_files=files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(path: Path, contents: Contents) -> None:
    data = encode(contents)
    if contents.python_files:
        data[_FILES] = {file.path: file.sha256 for file in contents.python_files}
    body = json.dumps(data, separators=(",", ":")).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_head(body))
            file.write(body)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _head(body: bytes) -> bytes:
    """The first line: the format, and a digest of the rest."""
    return f"djed contents {_FORMAT} {hashlib.blake2b(body, digest_size=16).hexdigest()}\n".encode()
