"""Everything that a folder holds, in one account."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from djed.model.contents import Contents
from djed.observe.contents.interpreters import read_interpreters
from djed.observe.contents.natives import read_cuda, read_symbols
from djed.observe.contents.python import read_distributions
from djed.observe.contents.scan import scan
from djed.observe.contents.skipped import Skipped
from djed.observe.contents.sources import Digests
from djed.toolbox.packagedb import find_native
from djed.toolbox.rootfs import os_release
from djed.toolbox.rootview import RootView

__all__ = ["read_contents"]

Kind = Literal["image", "sif", "archive", "venv", "root"]

# What the kernel shows there is no content; in an image nothing of it is seen.
_KERNEL = ("/proc", "/sys", "/dev")


def read_contents(root: Path, target: str, kind: Kind) -> Contents:
    """What is in the folder ``root``, which is called ``target``.

    Nothing of it is run and nothing is written, no link leads out of it, and what is too large, too deep or broken is told in ``skipped``
    rather than read. Raises ``UnsafeError`` where ``root`` is no folder that can be read.
    """
    skipped = Skipped()
    with RootView(root) as files:
        with Digests(skipped) as digests:
            found = scan(files, digests.add, skipped, without=() if kind == "venv" else _KERNEL)
            native, unread = find_native(files)
            for sentence in unread:
                skipped.say(sentence)
            contents = Contents(
                target=target,
                kind=kind,
                os_release=os_release(root),
                native=native,
                python=read_distributions(files, found.distributions, skipped),
                interpreters=read_interpreters(files, found.interpreters),
                symbols=read_symbols(files, found.libraries, skipped),
                cuda=read_cuda(files, found.cuda, skipped),
                size=found.size,
            )
        return replace(contents, python_files=digests.all(), skipped=skipped.all())
