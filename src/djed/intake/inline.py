"""Inline script metadata (PEP 723, https://packaging.python.org/en/latest/specifications/inline-script-metadata/) to a request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from djed.intake import tomlfile, uvtable
from djed.intake.document import Document, decode, tidy
from djed.intake.faults import Faults, Place, UnreadableError, stop
from djed.intake.source import take, texts
from djed.model.quantity import format_size

__all__ = ["document"]

_OPEN = re.compile(r"# /// ([A-Za-z0-9-]+)")


def document(name: str, content: bytes, *, arguments: Sequence[str], limit: int) -> Document:
    """The request that the script ``name`` makes by itself; its metadata has at most ``limit`` bytes. Raises ``RequestError``."""
    data: dict[str, Any] = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name.rpartition(".")[0] or name)[:100],
        "run": {"script": name, **({"arguments": list(arguments)} if arguments else {})},
    }
    start, text = _block(name, content)
    if not text:
        return Document(name=name, data=data)
    if len(text) > limit:
        raise stop(name, f"the metadata is too large: it may have {format_size(limit)}", line=start)
    faults = Faults(name)
    try:
        table, lines = tomlfile.parse(text)
        whole = _merge(data, _request(tidy(table), faults))
    except UnreadableError as error:
        raise stop(name, str(error), line=start + error.line if error.line else start) from error
    except RecursionError as error:
        raise stop(name, "the metadata is nested too deeply", line=start) from error
    faults.raise_all()
    return Document(name=name, data=whole, lines=lambda: _moved(lines(), start))


def _block(name: str, content: bytes) -> tuple[int, str]:
    """The number of the line that opens the ``script`` block, and the TOML in it; empty where there is none."""
    if b"# /// script" not in content:
        return 0, ""  # perhaps another language, and not in UTF-8
    found: dict[int, str] = {}
    start, kind, lines = 0, "", list[str]()
    for number, line in enumerate(decode(name, content).splitlines(), 1):
        opened = _OPEN.fullmatch(line)
        if not start and opened:
            start, kind, lines = number, opened[1], []
        elif start and (line == "#" or line.startswith("# ")):
            lines.append(line)
        elif start:
            start = 0
        # The last closing line counts: a block may hold one in a text of its own.
        if start and line == "# ///" and kind == "script":
            found[start] = "\n".join(inner[2:] for inner in lines[:-1])
    if len(found) > 1:
        raise stop(name, "there are two blocks of script metadata", line=max(found))
    return next(iter(found.items()), (0, ""))


def _request(table: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    """The metadata as a request; unchecked as far as the checks of a request will see it."""
    complain = faults.at((), "inline metadata")
    tool = take(table, "tool", dict, complain)
    environment: dict[str, Any] = {"packages": texts(table, "dependencies", complain)}
    if "requires-python" in table:
        environment["python"] = table["requires-python"]
    if "uv" in tool:
        environment |= uvtable.read(take(tool, "uv", dict, complain), complain)
    extra = take(tool, "djed", dict, complain)
    if {"script", "command"} & take(extra, "run", dict, complain).keys():
        complain("[tool.djed.run] names what to run, but that is this script", hint="Leave it out.")
    return _merge({"environment": environment}, extra)


def _merge(base: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``extra`` laid over ``base``: tables are merged, lists joined."""
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            merged[key] = [*old, *value]
        else:
            merged[key] = value
    return merged


def _moved(lines: Mapping[Place, int], start: int) -> dict[Place, int]:
    """Lines of the metadata as lines of the request in the script."""
    homes: dict[Place, Place] = {
        ("tool", "djed"): (),
        ("dependencies",): ("environment", "packages"),
        ("requires-python",): ("environment", "python"),
        ("tool", "uv", "index"): ("environment", "indexes"),
        ("tool", "uv", "exclude-newer"): ("environment", "exclude_newer"),
        ("tool", "uv", "constraint-dependencies"): ("environment", "constraints"),
    }
    return {
        (*home, *place[len(old) :]): line + start
        for place, line in lines.items()
        for old, home in homes.items()
        if place[: len(old)] == old
    }
