"""Packages that a build log says were installed: by apt, dnf, yum, microdnf, apk, pip, pipenv and uv.

The log is all there is to go by, so this is what was *said*: the state at its end, later lines counting more than earlier ones. What was
unpacked but never set up, and what was removed again, is not there. Where a log tells of several environments, they are taken for one.

A log is hostile: it is read a line at a time, lines are cut, and the number of packages is bounded.
"""

from __future__ import annotations

from typing import BinaryIO

from djed.model.contents import Contents
from djed.observe.buildlog.found import Found
from djed.observe.buildlog.lines import numbered
from djed.observe.buildlog.native import Apk, Deb, Rpm
from djed.observe.buildlog.python import Pip, Uv

__all__ = ["read_log"]

_STEPS = 64
"""Steps of an image's build whose lines come mixed; of more, the oldest are forgotten."""


class _Step:
    """The lines of one step of a build, in which what belongs together stands together."""

    def __init__(self, found: Found) -> None:
        # Those that know how a thing goes on in the next line come first.
        self._readers = (Pip(found), Rpm(found), Uv(found), Deb(found), Apk(found))

    def read(self, line: str) -> None:
        """Hand the next line to who understands it."""
        for reader in self._readers:
            if reader.read(line):
                return


def read_log(stream: BinaryIO, *, target: str) -> Contents:
    """What was installed at the end of a log, which is called ``target``.

    Memory is bounded by the packages, whatever the log's length. Raises ``TooLargeError`` where it names more than 200,000.
    """
    found = Found(target)
    steps: dict[str, _Step] = {}
    for number, line in numbered(stream):
        step = steps.get(number)
        if step is None:
            if len(steps) >= _STEPS:
                del steps[next(iter(steps))]
            step = steps[number] = _Step(found)
        step.read(line)
    return found.contents()
