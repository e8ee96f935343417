"""Starts a subcommand: finds the package that this folder lies in, and turns a failure into its line."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Started as a folder: Python put the folder itself first, where the names of our modules would hide those of the standard library.
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from djed.build.inside.report import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
