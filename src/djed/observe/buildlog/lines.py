"""The lines of a build log as a person would have read them, and the step of the build that each belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["LINE", "numbered"]

_CHUNK = 64 * 1024
LINE = 1024 * 1024
"""Bytes looked at of one line; pip names all that it installed on a single one."""

# What apt draws elsewhere on the screen (a progress bar), then ECMA-48 sequences. Bounded and possessive: the time is linear.
_ELSEWHERE = re.compile(r"\x1b7[^\x1b]{0,64}(?:\x1b\[[0-9;]{0,16}+[A-Za-z][^\x1b]{0,512}){0,8}\x1b8")
_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]{0,64}+[ -/]{0,8}+[@-~]|\][^\x07\x1b]{0,512}+(?:\x07|\x1b\\)|[0-Z\\^_])|[\x00-\x08\x0e-\x1f\x7f]"
)

# What comes before a line in the logs of BuildKit (the number of a step, and seconds) and of Kubernetes (a time).
_STEP = re.compile(r"#(\d{1,6}) (?:\d{1,7}\.\d{1,6} )?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.,\d]{0,12}(?:Z|[+-]\d\d:?\d\d)? ")


def numbered(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    """Each line and the number of its step, empty where there are none.

    Terminal codes are gone. The states of a progress bar are lines of their own. Of a long line only the first mebibyte is read.
    """
    for raw in _lines(stream):
        line = raw.decode("utf-8", "replace")
        if not line.isprintable():
            line = _CONTROL.sub("", _ELSEWHERE.sub("", line))
        if line[:1].isdigit() and (match := _TIME.match(line)):
            line = line[match.end() :]
        if line[:1] == "#" and (match := _STEP.match(line)):
            yield match[1], line[match.end() :]
        else:
            yield "", line


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    held, rest, cut = b"", b"", False
    while chunk := stream.read(_CHUNK):
        chunk = held + chunk
        body = chunk.rstrip(b"\r")
        held = chunk[len(body) :][-2:]  # a line may end with these in the next chunk
        body = body.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = (rest + body).split(b"\n")
        if cut and whole:
            del whole[0]
            cut = False
        yield from whole
        if cut:
            rest = b""
        elif len(rest) > LINE:
            yield rest[:LINE]
            rest, cut = b"", True
    if rest and not cut:
        yield rest
