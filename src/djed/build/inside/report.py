"""How a subcommand is found, and how it says that it failed."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence

from djed.errors import DjedError, StoreFullError
from djed.model.observation import FailureClass

__all__ = ["SUBCOMMANDS", "FailedError", "main"]

SUBCOMMANDS = {
    "base": "djed.build.inside.base",
    "native": "djed.build.inside.native",
    "clean": "djed.build.inside.clean",
    "image": "djed.build.inside.layers",
    "archive": "djed.build.inside.archive",
}
"""Modules by the word that starts them; each has ``run(arguments)``."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FailedError(DjedError):
    """What the job was for cannot be done, for a reason that has a class."""

    def __init__(self, kind: FailureClass, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main(arguments: Sequence[str]) -> int:
    """Run the subcommand; 0, or 1 with one line on stderr that says what is wrong, or 2 where there is no such subcommand."""
    if not arguments or arguments[0] not in SUBCOMMANDS:
        return _complain("internal", f"there is no subcommand {arguments[:1]}", code=2)
    module = importlib.import_module(SUBCOMMANDS[arguments[0]])
    try:
        module.run(arguments[1:])
    except FailedError as error:
        return _complain(error.kind, error.message)
    except StoreFullError as error:
        return _complain("disk_full", error.message)
    except DjedError as error:
        return _complain("internal", error.message)
    except OSError as error:
        kind: FailureClass = "disk_full" if error.errno in _NO_ROOM else "internal"
        named = f"{error.filename}: " if error.filename else ""
        return _complain(kind, f"{named}{error.strerror}")
    return 0


def _complain(kind: FailureClass, message: str, *, code: int = 1) -> int:
    # A message may quote an archive: it stays one line, whatever that holds.
    line = " ".join(message.split())[:2000]
    print(f"djed: error: {kind}: {line}", file=sys.stderr, flush=True)
    return code
