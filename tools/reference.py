"""Writes the generated parts of ``docs/reference``: the request, the settings, the errors, the metrics, the API.

A generated part lies between ``<!-- generated: NAME -->`` and ``<!-- end of NAME -->``; the words around it are written by hand.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from djed import config, errors
from djed.api import metrics, openapi
from djed.model import request
from djed.model.quantity import format_duration, format_size, parse_duration, parse_size

__all__ = ["FILES", "main", "render", "rewritten"]

DOCS = Path(__file__).resolve().parent.parent / "docs"
FILES = {name: f"{name}.md" for name in ("request", "settings", "errors", "metrics", "api")}

# The parts of a request in the order in which a file has them.
_PARTS = (
    "Request",
    "Environment",
    "Index",
    "File",
    "Build",
    "Run",
    "Resources",
    "HardwareRequirement",
    "Gpu",
)


def render(name: str) -> str:
    """The generated part of that name."""
    writers: dict[str, Callable[[], Iterator[str]]] = {
        "request": _request,
        "settings": _settings,
        "errors": _errors,
        "metrics": _metrics,
        "api": _api,
    }
    return "\n".join(writers[name]())


def rewritten(name: str, text: str) -> str:
    """A page with its generated part renewed. Raises ``ValueError`` where the page has no place for it."""
    begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no part {begin} … {end}")
    return f"{head}{begin}\n\n{render(name)}\n\n{end}{tail}"


def _metrics() -> Iterator[str]:
    yield metrics.reference()


def _api() -> Iterator[str]:
    yield openapi.reference()


def _request() -> Iterator[str]:
    docstrings = _field_docstrings(Path(inspect.getfile(request)))
    for number, part in enumerate(_PARTS):
        kind = getattr(request, part)
        if number:
            yield ""
        yield f"### {part}"
        yield ""
        yield inspect.getdoc(kind) or ""
        yield ""
        yield "| key | type | default | meaning |"
        yield "| --- | --- | --- | --- |"
        for field in dataclasses.fields(kind):
            text = _prose(docstrings[part, field.name])
            yield f"| `{field.name}` | {_type(str(field.type))} | {_default(field)} | {text} |"


def _field_docstrings(file: Path) -> dict[tuple[str, str], str]:
    """The string under each field, by class and field: Python itself forgets them."""
    found = {}
    for kind in ast.parse(file.read_text(encoding="utf-8")).body:
        if not isinstance(kind, ast.ClassDef):
            continue
        for field, below in zip(kind.body, kind.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[kind.name, field.target.id] = str(below.value.value)
    return found


def _type(annotation: str) -> str:
    """An annotation in words of YAML."""
    words = []
    for word in annotation.removesuffix("| None").split("|"):
        text = word.strip()
        sequence = re.fullmatch(r"tuple\[(\w+), \.\.\.\]", text)
        if sequence:
            words.append(f"list of {_scalar(sequence[1])}")
        elif text.startswith("Mapping"):
            words.append("mapping of string to string")
        else:
            words.append(_scalar(text))
    return " or ".join(dict.fromkeys(words))


def _scalar(name: str) -> str:
    plain = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
    if name in plain:
        return plain[name]
    if name in _PARTS:
        return f"[{name}](#{name.lower()})"
    if name == "Lock":
        return "lock (made by intake)"
    choices = getattr(request, name).__args__
    return ", ".join(f"`{choice}`" for choice in choices)


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if value is None or value == () or value is dataclasses.MISSING or dataclasses.is_dataclass(value):
        return (
            "required"
            if value is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            else ""
        )
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`[{', '.join(value)}]`" if isinstance(value, tuple) else f"`{value}`"


def _settings() -> Iterator[str]:
    readers = {
        item.metadata["name"]: item.metadata["read"]
        for item in dataclasses.fields(config.Config)
        if item.metadata
    }
    yield "| setting | environment variable | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, variable, default, text, _ in config.settings():
        yield f"| `{name}` | `{variable}` | {_value(default, readers[name])} | {_prose(text)} |"


def _value(value: Any, reader: Callable[[str], Any]) -> str:
    if value in (None, ()):
        return ""
    if reader is parse_size:
        return f"`{format_size(value).replace(' ', '').removesuffix('B')}`"
    if reader is parse_duration:
        return f"`{format_duration(value).split(' 00')[0].replace('.00', '')}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{str(value).replace(str(Path.home()), '~')}`"


def _errors() -> Iterator[str]:
    yield "| error | exit code | HTTP status | may succeed later | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for name in errors.__all__:
        kind = getattr(errors, name)
        if issubclass(kind, errors.DjedError):
            later = (
                "the error says"
                if "transient" in inspect.signature(kind).parameters
                else ("yes" if kind.transient else "no")
            )
            yield f"| `{name}` | {kind.exit_code} | {kind.status} | {later} | {_prose(inspect.getdoc(kind) or '')} |"


def _prose(text: str) -> str:
    """A docstring as one cell of a table: reStructuredText's marks become Markdown's."""
    line = re.sub(r"\s+", " ", text).strip()
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line).replace("``", "`").replace("|", "\\|")


def main() -> None:
    """Rewrite the pages that changed."""
    os.environ.pop("XDG_DATA_HOME", None)
    for name, file in FILES.items():
        page = DOCS / "reference" / file
        before = page.read_text(encoding="utf-8")
        after = rewritten(name, before)
        if after != before:
            page.write_text(after, encoding="utf-8")
        print(f"docs/reference/{file}: {'as it was' if after == before else 'renewed'}")


if __name__ == "__main__":
    main()
