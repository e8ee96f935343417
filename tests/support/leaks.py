"""Where a value lies that should lie nowhere."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["MEMORY", "leaks"]

MEMORY = Path("/dev/shm")


def leaks(folder: Path, value: bytes) -> list[Path]:
    """Files below a folder that hold it or have it in their names. Others may be at work there: what vanishes, or is not ours, has none."""
    return [
        path
        for parent, _, names in os.walk(folder)
        for path in (Path(parent, name) for name in names)
        if value in os.fsencode(path) or value in _content(path)
    ]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    except OSError:
        return b""
