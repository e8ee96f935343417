"""Text for people: parts with a style, safe to show on a terminal whatever they contain.

Renderers return lines of parts and know neither terminal nor colour; ``djed.cli.console`` alone turns them into bytes. Job logs, names and
messages can hold anything, so every part is neutralised on its way out: a part cannot move the cursor, recolour, or reorder the text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "Line",
    "Part",
    "Style",
    "Styled",
    "bad",
    "bold",
    "cell_width",
    "dim",
    "good",
    "indent",
    "log_lines",
    "neutralise",
    "plain",
    "shorten",
    "warn",
]

Style = Literal["bold", "dim", "good", "bad", "warn"]

# Whole escape sequences (ECMA-48 control sequences; operating system commands and other strings up to their end) say nothing to a
# reader and go; a control character that stands alone is shown as its picture.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NEWLINES = re.compile(r"\r\n|[\r\n\v\f\x85\u2028\u2029]")


class Styled(NamedTuple):
    """A text with a style."""

    text: str
    style: Style


Part: TypeAlias = str | Styled
Line: TypeAlias = tuple[Part, ...]


def bold(text: str) -> Styled:
    """What the eye should find first."""
    return Styled(text, "bold")


def dim(text: str) -> Styled:
    """What the eye may skip."""
    return Styled(text, "dim")


def good(text: str) -> Styled:
    """A success."""
    return Styled(text, "good")


def bad(text: str) -> Styled:
    """A failure."""
    return Styled(text, "bad")


def warn(text: str) -> Styled:
    """Something to look at."""
    return Styled(text, "warn")


def plain(part: Part) -> str:
    """The text of a part, not yet neutralised."""
    return part if isinstance(part, str) else part.text


def indent(line: Line, by: int = 2) -> Line:
    """The line further to the right."""
    return (" " * by, *line)


def neutralise(text: str) -> str:
    r"""The text without anything that a terminal would obey, on one line.

    Escape sequences are removed; other control characters become their Unicode pictures (``␇``), or ``\x9b`` and
    ``\u202e`` where there is none.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_picture(character) for character in _SEQUENCES.sub("", text).replace("\t", "    "))


def log_lines(text: str, last: int | None = None) -> list[str]:
    """The lines of a job's log, each neutralised; only the ``last`` ones if given."""
    lines = _NEWLINES.split(_SEQUENCES.sub("", text))
    while lines and not lines[-1].strip():
        lines.pop()
    chosen = lines if last is None else lines[-last:] if last else []
    return [neutralise(line) for line in chosen]


def cell_width(text: str) -> int:
    """Columns that a neutralised text takes on a terminal (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def shorten(text: str, width: int) -> str:
    """The text in at most ``width`` columns; an ellipsis says that something is missing."""
    if cell_width(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        used += _columns(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0x80 <= code < 0xA0:
        return f"\\x{code:02x}"
    if character in _BIDI or unicodedata.category(character) in {"Cs", "Zl", "Zp", "Cf"}:
        return f"\\u{code:04x}"
    return character
