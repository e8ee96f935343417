"""Starts a subcommand: finds the package that this folder lies in, and turns a failure into its line."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

if not __package__:
    # Started as a folder: Python put the folder itself first, where the names of our modules would hide those of the standard library.
    here = Path(__file__).resolve()
    sys.path[0] = str(here.parents[3])
    # What the package above brings renders jobs and seals them: most of the time to start, and nothing of it is needed in a job.
    above = ModuleType("djed.build")
    above.__path__ = [str(here.parents[1])]
    sys.modules["djed.build"] = above

from djed.build.inside.report import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
