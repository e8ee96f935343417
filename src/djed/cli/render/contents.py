"""What is inside something, for people: a summary, then its packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from djed.cli.render.table import Column, table
from djed.cli.render.text import Line, bold, dim, indent, warn
from djed.cli.render.words import count
from djed.model.quantity import format_size

if TYPE_CHECKING:
    from djed.model.contents import Contents

__all__ = ["contents_lines"]

_LABEL = 14
_FEW = 5
_LICENCE = 40


def contents_lines(contents: Contents, *, width: int | None) -> list[Line]:
    """All there is to say in few words; the whole is JSON."""
    lines: list[Line] = [(bold(contents.target), "  ", dim(contents.digest or ""))]
    lines += [(f"  {label.ljust(_LABEL)}", value) for label, value in _summary(contents) if value]
    inner = None if width is None else width - 2
    if contents.native:
        columns = [
            Column(title="PACKAGE"),
            Column(title="VERSION", least=12),
            Column(title="ARCH"),
            Column(title="LICENCE", least=8),
        ]
        rows = [[item.name, item.version, item.arch or "", _short(item.licence)] for item in contents.native]
        lines += _section(count(len(rows), "native package"), table(columns, rows, width=inner))
    if contents.python:
        columns = [
            Column(title="PACKAGE"),
            Column(title="VERSION", least=12),
            Column(title="LICENCE", least=8),
            Column(title="FOUND IN", least=12),
        ]
        rows = [[item.name, item.version, _short(item.licence), item.location] for item in contents.python]
        lines += _section(count(len(rows), "Python package"), table(columns, rows, width=inner))
    if contents.skipped:
        shown: list[Line] = [(warn(sentence),) for sentence in contents.skipped[:_FEW]]
        more = len(contents.skipped) - len(shown)
        lines += _section("left out", [*shown, *([(dim(f"and {more} more"),)] if more else [])])
    if contents.kind == "log" and not (contents.native or contents.python):
        lines.append(("  The log names no package that was installed.",))
    return lines


def _section(title: str, body: list[Line]) -> list[Line]:
    return [(), (bold(title),), *(indent(line) for line in body)]


def _summary(contents: Contents) -> list[tuple[str, str]]:
    system = contents.os_release
    name = system.get("PRETTY_NAME") or " ".join(filter(None, (system.get("ID"), system.get("VERSION_ID"))))
    return [
        ("kind", contents.kind),
        ("system", name),
        ("machine", str(contents.config.get("architecture") or "")),
        ("native", _counted(contents)),
        ("Python", count(len(contents.python), "package") if contents.python else ""),
        ("interpreters", ", ".join(_interpreters(contents))),
        ("GLIBC", _highest(contents.symbols)),
        ("CUDA", ", ".join(sorted(set(contents.cuda.values())))),
        ("layers", str(len(contents.layers)) if contents.layers else ""),
        ("size", format_size(contents.size) if contents.size else ""),
        *_config(contents.config),
    ]


def _counted(contents: Contents) -> str:
    kinds = [item.kind for item in contents.native]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))


def _interpreters(contents: Contents) -> list[str]:
    return [
        f"{found.version or 'Python'} ({found.path})" for found in contents.interpreters if found.link is None
    ] or [found.path for found in contents.interpreters]


def _highest(symbols: Mapping[str, tuple[str, ...]]) -> str:
    """The newest version of the C library that its symbols tell."""
    found = [
        tuple(map(int, match[1].split(".")))
        for versions in symbols.values()
        for version in versions
        if (match := re.fullmatch(r"GLIBC_(\d{1,4}(?:\.\d{1,4}){1,3})", version))
    ]
    return ".".join(map(str, max(found))) if found else ""


def _config(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    words = [*config.get("entrypoint", ()), *config.get("command", ())]
    return [
        ("created", str(config.get("created") or "")),
        ("user", str(config.get("user") or "")),
        ("starts", " ".join(words)),
    ]


def _short(licence: str | None) -> str:
    text = " ".join((licence or "").split())
    return text if len(text) <= _LICENCE else text[: _LICENCE - 1] + "…"
