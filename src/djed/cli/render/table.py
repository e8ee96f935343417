"""Plain tables: columns aligned by spaces, no lines, so that they read well and ``awk`` can cut them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from djed.cli.render.text import Line, Part, Styled, cell_width, dim, neutralise, plain, shorten

__all__ = ["Column", "table"]

_GAP = "  "


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    right: bool = False
    """Whether its cells are aligned to the right."""
    least: int = 0
    """Columns that it keeps when the terminal is narrow; 0: it is never cut."""


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Part]], *, width: int | None = None
) -> list[Line]:
    """The lines of a table with its head, cut to ``width`` where columns allow it; ``None``: nothing is cut."""
    texts = [[neutralise(plain(cell)) for cell in row] for row in rows]
    widths = [
        max([len(column.title), *(cell_width(row[at]) for row in texts)]) for at, column in enumerate(columns)
    ]
    if width is not None:
        _squeeze(columns, widths, width)
    head = tuple(dim(cell) for cell in _row(columns, widths, [column.title for column in columns]))
    body = [
        tuple(_restyle(old, new) for old, new in zip(row, _row(columns, widths, text), strict=True))
        for row, text in zip(rows, texts, strict=True)
    ]
    return [head, *body]


def _squeeze(columns: Sequence[Column], widths: list[int], width: int) -> None:
    """Take from the widest column that may shrink until the table fits or none can give."""
    excess = sum(widths) + len(_GAP) * (len(columns) - 1) - width
    while excess > 0:
        givers = [at for at, column in enumerate(columns) if column.least and widths[at] > column.least]
        if not givers:
            return
        widest = max(givers, key=lambda at: widths[at])
        widths[widest] -= 1
        excess -= 1


def _row(columns: Sequence[Column], widths: Sequence[int], texts: Sequence[str]) -> list[str]:
    cells = []
    for at, (column, width, text) in enumerate(zip(columns, widths, texts, strict=True)):
        cell = shorten(text, width)
        space = " " * (width - cell_width(cell))
        last = at == len(columns) - 1
        padded = space + cell if column.right else cell if last else cell + space
        cells.append(padded if last else padded + _GAP)
    return cells


def _restyle(old: Part, new: str) -> Part:
    return Styled(new, old.style) if isinstance(old, Styled) else new
