"""``python -m djed`` and the ``djed`` command."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from djed import __version__

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    _hold_streams()
    # The version is asked by scripts and prompts; it costs no import.
    if sys.argv[1:] == ["--version"]:
        print(f"djed {__version__}")  # noqa: T201
        return
    # Imports make many objects that stay; the collector's default threshold would walk them again and again.
    gc.set_threshold(50_000, 20, 100)
    from djed.cli.main import main as run

    _leave(run(sys.argv[1:]))


def _hold_streams() -> None:
    """Open what was closed (``>&-``) on nothing: else the store's file would get that number, and a stray print would damage it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            setattr(sys, name, os.fdopen(number, mode))


def _leave(code: int) -> NoReturn:
    """Exit without taking the interpreter apart, which takes 70 ms: what has to be closed is closed by now."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the reader is gone
            code = code or 141
    os._exit(code)


if __name__ == "__main__":
    main()
