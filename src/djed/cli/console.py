"""The two streams of the command line: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from typing import Any, Literal, TextIO

from djed.cli.render.text import Line, Part, Style, Styled, neutralise

__all__ = ["Color", "Console", "is_terminal"]

Color = Literal["auto", "always", "never"]

_CODES: dict[Style, str] = {"bold": "1", "dim": "2", "good": "32", "bad": "1;31", "warn": "33"}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sits at the other end."""
    return stream.isatty()


class Console:
    """Writes lines, JSON and bytes. Colours and widths are those of the stream that is written to."""

    def __init__(self, *, color: Color = "auto", quiet: bool = False) -> None:
        self.quiet = quiet
        self._color = color

    @property
    def width(self) -> int | None:
        """Columns of the terminal on stdout; ``None`` where it is none, so that nothing is cut."""
        return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None

    @property
    def live(self) -> bool:
        """Whether stderr can show a view that redraws itself."""
        return is_terminal(sys.stderr) and not self.quiet and os.environ.get("TERM") != "dumb"

    @property
    def shows(self) -> bool:
        """Whether a person looks at stdout, so that raw bytes of a job must not reach it."""
        return is_terminal(sys.stdout)

    @property
    def colored(self) -> bool:
        """Whether stderr gets colours."""
        return self._colored(sys.stderr)

    def out(self, *parts: Part) -> None:
        """A line of data."""
        self._write(sys.stdout, parts)

    def lines(self, lines: Iterable[Line]) -> None:
        """Lines of data."""
        for line in lines:
            self._write(sys.stdout, line)

    def json(self, value: Any) -> None:
        """A JSON value as data; ASCII, so that nothing in it reaches a terminal unescaped."""
        sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")

    def text(self, text: str) -> None:
        """A document for other programs, as it is; on a terminal neutralised line by line."""
        sys.stdout.write(
            "".join(neutralise(line) + "\n" for line in text.splitlines()) if self.shows else text
        )

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def err(self, *parts: Part) -> None:
        """A line about an error; shown even when quiet."""
        sys.stdout.flush()
        self._write(sys.stderr, parts)

    def note(self, *parts: Part) -> None:
        """A line of progress or advice."""
        if not self.quiet:
            self.err(*parts)

    def gap(self) -> None:
        """An empty line where a person sees data right below progress."""
        if self.shows and is_terminal(sys.stderr):
            self.note()

    def _write(self, stream: TextIO, parts: Iterable[Part]) -> None:
        colored = self._colored(stream)
        stream.write("".join(_paint(part, colored) for part in parts).rstrip() + "\n")

    def _colored(self, stream: TextIO) -> bool:
        if self._color != "auto":
            return self._color == "always"
        # https://no-color.org: any value but the empty one counts.
        return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _paint(part: Part, colored: bool) -> str:
    if isinstance(part, Styled):
        text = neutralise(part.text)
        return f"\x1b[{_CODES[part.style]}m{text}\x1b[0m" if colored and text.strip() else text
    return neutralise(part)
