"""How a subcommand is found, and how it says that it failed."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence

from djed.errors import DjedError, StoreFullError
from djed.model.observation import FailureClass

__all__ = ["SUBCOMMANDS", "FailedError", "main", "say"]

SUBCOMMANDS = {
    "base": "djed.build.inside.base",
    "native": "djed.build.inside.native",
    "clean": "djed.build.inside.clean",
    "image": "djed.build.inside.layers",
    "archive": "djed.build.inside.archive",
    "sif": "djed.build.inside.sif",
}
"""Modules by the word that starts them; each has ``run(arguments)``."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FailedError(DjedError):
    """What the job was for cannot be done, for a reason that has a class."""

    def __init__(self, kind: FailureClass, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


def main(arguments: Sequence[str]) -> int:
    """Run the subcommand; 0, or 1 with one line on stderr that says what is wrong, or 2 where there is no such subcommand."""
    if not arguments or arguments[0] not in SUBCOMMANDS:
        return _complain("internal", f"there is no subcommand {arguments[:1]}", code=2)
    module = importlib.import_module(SUBCOMMANDS[arguments[0]])
    try:
        module.run(arguments[1:])
    except FailedError as error:
        return _complain(error.kind, error.message, error.hint)
    except StoreFullError as error:
        return _complain("disk_full", error.message, error.hint)
    except DjedError as error:
        return _complain("internal", error.message, error.hint)
    except OSError as error:
        kind: FailureClass = "disk_full" if error.errno in _NO_ROOM else "internal"
        named = f"{error.filename}: " if error.filename else ""
        return _complain(kind, f"{named}{error.strerror}")
    return 0


def say(line: str) -> None:
    """Write a line of the job's log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _complain(kind: FailureClass, message: str, hint: str | None = None, *, code: int = 1) -> int:
    # What a message quotes may come from an archive: it stays one line.
    lines = [
        f"djed: error: {kind}: {_one_line(message)}",
        *([f"djed: hint: {_one_line(hint)}"] if hint else []),
    ]
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())[:2000]
