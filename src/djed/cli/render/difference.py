"""The difference between two inspections, or between what is inside two things, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from djed.cli.render.text import Line, bad, bold, dim, good, warn
from djed.cli.render.words import amount, count
from djed.model.quantity import format_size

if TYPE_CHECKING:
    from djed.model.contents import Contents
    from djed.model.difference import Change, Compared, ContentsDifference, Difference
    from djed.model.inspection import Inspection

__all__ = ["contents_difference_lines", "difference_lines"]

_VERDICTS = {"faster": good, "slower": bad, "cannot_tell": warn}


def difference_lines(a: Inspection, b: Inspection, found: Difference) -> list[Line]:
    """The difference for people."""
    lines: list[Line] = [
        (bad("- "), bold(a.name), dim(f"  {a.id}")),
        (good("+ "), bold(b.name), dim(f"  {b.id}")),
    ]
    for title, changes in (
        ("request", found.request),
        ("packages", found.packages),
        ("native packages", found.native),
        ("environment", found.environment),
        ("hardware", found.hardware),
        ("outcome", found.outcome),
    ):
        if changes:
            lines += [(), (bold(title),), *(_change(change) for change in changes)]
    if found.results:
        lines += [(), (bold("results"),), *_results(found.results)]
    if len(lines) == 2:
        lines.append(("Nothing differs.",))
    return lines


def contents_difference_lines(a: Contents, b: Contents, found: ContentsDifference) -> list[Line]:
    """The difference of contents for people."""
    lines: list[Line] = [
        (bad("- "), bold(a.target), dim(f"  {a.digest or ''}")),
        (good("+ "), bold(b.target), dim(f"  {b.digest or ''}")),
    ]
    for title, changes in (
        ("system", found.system),
        ("native packages", found.native),
        ("Python packages", found.python),
        ("symbols", found.symbols),
        ("variables", found.variables),
        ("settings", found.settings),
    ):
        if changes:
            lines += [(), (bold(title),), *(_change(change) for change in changes)]
    if found.layers:
        same = f"  {count(found.shared_layers, 'layer')} of {format_size(found.shared_size)} shared"
        shared = same if found.shared_layers else ""
        lines += [(), (bold("layers"), dim(shared)), *(_layer(change) for change in found.layers)]
    if len(lines) == 2:
        lines.append(("Nothing differs.",))
    return lines


def _layer(change: Change) -> Line:
    mark, size = (good("+ "), change.after) if change.before is None else (bad("- "), change.before)
    return ("  ", mark, change.name, dim(f"  {format_size(size)}"))


def _change(change: Change) -> Line:
    name = f"{change.name} "
    if change.before is None:
        return ("  ", good("+ "), name, _text(change.after))
    if change.after is None:
        return ("  ", bad("- "), name, _text(change.before))
    return ("  ", warn("~ "), name, dim(_text(change.before)), " → ", _text(change.after))


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _results(found: Sequence[Compared]) -> list[Line]:
    values = [f"{amount(item.before, item.unit)} → {amount(item.after, item.unit)}" for item in found]
    names, widest = max(len(item.metric) for item in found), max(map(len, values))
    return [
        (
            f"  {item.metric.ljust(names)}  ",
            dim(value.ljust(widest)),
            "  ",
            _VERDICTS.get(item.verdict, bold)(item.sentence),
        )
        for item, value in zip(found, values, strict=True)
    ]
