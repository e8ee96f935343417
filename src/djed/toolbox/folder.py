"""What an error of the operating system means while the data folder is written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from djed.errors import StoreError, StoreFullError

__all__ = ["writing"]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise ``StoreFullError`` where there is no space for ``path``, ``StoreError`` where it cannot be written for another reason."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFullError(
                f"There is no space left for {path}.", hint="Free some, for example with: djed gc"
            ) from error
        raise StoreError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Check the rights of its folder, or use --data.",
        ) from error
