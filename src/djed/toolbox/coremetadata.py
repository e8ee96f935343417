"""The metadata of a Python distribution: METADATA, PKG-INFO (core metadata, 2.4) and the older ``requires.txt``.

https://packaging.python.org/specifications/core-metadata/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["Headers", "headers", "licence", "old_requirements"]

Headers = Mapping[str, list[str]]
"""The values of each field, by its name in lower case."""

_END = re.compile(rb"(?:\A|\n)\r?\n")
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_FOLD = re.compile(r"\r?\n[ \t]+")
_MAX_TEXT = 200
_UNKNOWN = {"", "unknown", "none"}
_CLASSIFIER = "License :: "


def headers(data: bytes) -> Headers:
    """The fields up to the first empty line; a line that begins with a blank goes on with the field before it (RFC 822)."""
    found: dict[str, list[str]] = {}
    end = _END.search(data)
    for name, value in _FIELD.findall(data, 0, end.start() if end else len(data)):
        text = value.decode(errors="replace").strip()
        if "\n" in text:
            text = _FOLD.sub("\n", text)
        found.setdefault(name.decode("ascii").lower(), []).append(text)
    return found


def licence(fields: Headers) -> str | None:
    """The SPDX expression, else the licence in one line, else the classifiers, else the first line of the licence's whole text."""
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in fields.get("classifier", ())
        if line.startswith(_CLASSIFIER) and line != f"{_CLASSIFIER}OSI Approved"
    ]
    texts = fields.get("license-expression", []) + fields.get("license", [])
    known = [text for text in texts if text.lower() not in _UNKNOWN]
    short = [text for text in known if "\n" not in text]
    for text in (*short, " AND ".join(classifiers), *known):
        if text:
            return text.split("\n", 1)[0].strip()[:_MAX_TEXT]
    return None


def old_requirements(text: str) -> Iterator[str]:
    """The lines of a ``requires.txt`` (of an ``.egg-info``) as ``Requires-Dist`` has them; a section is an extra, a marker or both."""
    condition = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            extra, _, marker = line[1:-1].partition(":")
            if extra and marker:
                marker = f"({marker})"
            parts = [part for part in (marker, f'extra == "{extra}"' if extra else "") if part]
            condition = "; " + " and ".join(parts) if parts else ""
            continue
        # A marker cannot be told from an address that it follows without a blank.
        yield line + (" " if "@" in line and condition else "") + condition
