"""Names of native packages, as requests and package databases write them."""

from __future__ import annotations

import re

__all__ = ["plain_name", "provided_name"]


def plain_name(text: str) -> str:
    """The name alone of what is asked for: ``libgomp1`` of ``libgomp1:amd64=12.2.0-14``."""
    return re.split(r"[=~<>:]", text, maxsplit=1)[0]


def provided_name(text: str) -> str:
    """The name in what a package provides: ``mail-transport-agent``, ``libfoo (= 1.2)``, ``so:libfoo.so.1=1.2``."""
    return re.split(r"[\s=<>(]", text.strip(), maxsplit=1)[0].removesuffix(":any")
