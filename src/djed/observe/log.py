"""The text of a log as rules may look at it: bounded, decoded, without control sequences or secrets.

A log is hostile: it may be huge, binary, one endless line, or full of terminal codes. Rules see at most :data:`HEAD` and
:data:`TAIL` bytes of each stream, as lines of at most :data:`LINE` characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["HEAD", "LINE", "TAIL", "clean", "evidence", "lines", "window"]

HEAD = 64 * 1024
"""Bytes looked at from the start of a stream."""
TAIL = 256 * 1024
"""Bytes looked at from its end."""
LINE = 8192
"""Characters looked at of one line."""
EVIDENCE_LINES = 10
EVIDENCE_WIDTH = 500

# ECMA-48 control sequences, operating system commands (ended by BEL or ST) and two-character escapes. The repetitions are bounded
# and possessive, so that the time is linear whatever the log holds.
_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]{0,64}+[ -/]{0,8}+[@-~]|\][^\x07\x1b\n]{0,512}+(?:\x07|\x1b\\)|[@-Z\\^_])|\x9b[0-?]{0,64}+[@-~]"
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CREDENTIALS = re.compile(r"(://)[^\s/@]{1,256}+@")


def window(data: bytes, *, head: int = HEAD, tail: int = TAIL) -> bytes:
    """The start and the end of ``data``, with a line between them that says how much was left out."""
    left_out = len(data) - head - tail
    if left_out <= 0:
        return data
    return data[:head] + b"\n... %d bytes left out ...\n" % left_out + data[-tail:]


def clean(text: str) -> str:
    """``text`` without terminal codes, control characters and credentials in URLs; line feeds and tabs stay."""
    # A progress bar overwrites its line: what stands after the last carriage return is what a person saw.
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CREDENTIALS.sub(r"\1***@", _UNPRINTABLE.sub("", _CONTROL.sub("", text)))


def lines(data: bytes) -> tuple[str, ...]:
    """The lines of a stream that rules look at, without trailing blanks."""
    text = clean(window(data).decode("utf-8", "backslashreplace"))
    return tuple(line[:LINE].rstrip() for line in text.split("\n"))


def evidence(found: Iterable[str]) -> tuple[str, ...]:
    """At most ten lines of at most 500 characters that are not blank, in order, without doubles: what a failure shows."""
    shown = dict.fromkeys(line.strip()[:EVIDENCE_WIDTH] for line in found if line.strip())
    return tuple(shown)[:EVIDENCE_LINES]
