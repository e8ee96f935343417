"""Symbol versions that a shared library defines: of every class and byte order, of real ones, and of broken ones."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.toolbox.elf import ElfError, defined_versions

ADDRESS = 0x10000


def library(versions: tuple[str, ...], *, wide: bool = True, order: str = "<", base: bool = True) -> bytes:
    """A shared library with nothing but definitions of versions; the first is its own name where ``base``."""
    names, offsets = b"\0", []
    for version in versions:
        offsets.append(len(names))
        names += version.encode() + b"\0"
    definitions = b"".join(
        struct.pack(
            f"{order}4H3I2I", 1, int(base and index == 0), index + 1, 1, 0, 20, 28 if index + 1 < len(versions) else 0, offset, 0
        )
        for index, offset in enumerate(offsets)
    )  # fmt: skip
    head, segment = (64, 56) if wide else (52, 32)
    start = head + 2 * segment
    number = "Q" if wide else "I"
    place = ADDRESS + start
    tags = (
        (5, place + len(definitions)), (10, len(names)), (0x6FFFFFFC, place), (0x6FFFFFFD, len(versions)), (0, 0),
    )  # fmt: skip
    dynamic = b"".join(struct.pack(f"{order}2{number}", *tag) for tag in tags)
    body = definitions + names
    size = start + len(body) + len(dynamic)
    load, entry = (1, 0, ADDRESS, size), (2, start + len(body), place + len(body), len(dynamic))
    segments = b"".join(_segment(order, *values, wide=wide) for values in (load, entry))
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    fields = struct.pack(f"{order}2HI3{number}I6H", 3, 62, 1, 0, head, 0, 0, head, segment, 2, 0, 0, 0)
    return ident + fields + segments + body + dynamic


def _segment(order: str, kind: int, offset: int, address: int, size: int, *, wide: bool) -> bytes:
    if wide:
        return struct.pack(f"{order}2I6Q", kind, 4, offset, address, address, size, size, 8)
    return struct.pack(f"{order}8I", kind, offset, address, address, size, size, 4, 4)


def read(data: bytes) -> tuple[str, ...]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return defined_versions(file.fileno())


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_class_and_byte_order_is_read(order: str, wide: bool) -> None:
    data = library(("libx.so.1", "X_1.0", "X_1.1", "X_1.1", "X_PRIVATE"), wide=wide, order=order)
    assert read(data) == ("X_1.0", "X_1.1", "X_PRIVATE")


def test_a_library_without_definitions_has_none() -> None:
    data = bytearray(library(("X_1",)))
    data[56:58] = b"\0\0"  # no segments at all
    assert read(bytes(data)) == ()


def test_a_real_library_is_read() -> None:
    candidates = [
        path for pattern in ("lib*/libc.so.6", "lib/*/libc.so.6") for path in Path("/").glob(pattern)
    ]
    if not candidates:
        pytest.skip("there is no C library here that has versions")
    file = os.open(candidates[0], os.O_RDONLY)
    try:
        versions = defined_versions(file)
    finally:
        os.close(file)
    assert "GLIBC_PRIVATE" in versions
    assert f"GLIBC_{os.confstr('CS_GNU_LIBC_VERSION').split()[1]}" in versions  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF", b"INPUT(libm.so.6)\n", b"\x7fELF\x03\x01" + bytes(60), b"\x7fELF\x02\x01" + bytes(50)],
)
def test_what_is_no_library_is_refused(data: bytes) -> None:
    with pytest.raises(ElfError):
        read(data)


def patched(offset: int, form: str, *values: int) -> bytes:
    data = bytearray(library(("libx.so.1", "X_1")))
    struct.pack_into(form, data, offset, *values)
    return bytes(data)


DYNAMIC = len(library(("libx.so.1", "X_1"))) - 5 * 16
TAIL = 64 + 2 * 56


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (patched(32, "<Q", 2**64 - 1), "outside"),
        (patched(54, "<H", 8), "segments"),
        (patched(56, "<H", 2**16 - 1), "segments"),
        (patched(64 + 56 + 8, "<Q", 2**63), "outside"),
        (patched(DYNAMIC + 8, "<Q", 0), "outside"),
        (patched(DYNAMIC + 24, "<Q", 0), "outside of its names"),
        (patched(DYNAMIC + 40, "<Q", 2**63), "outside"),
        (patched(DYNAMIC + 56, "<Q", 2**63), "more than 1000"),
        (patched(TAIL + 28 + 12, "<I", 2**32 - 1), "broken"),
        (patched(TAIL + 16, "<I", 2**32 - 1), "broken"),
    ],
)
def test_places_outside_of_the_file_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ElfError, match=reason):
        read(data)


def test_definitions_that_lead_to_themselves_end() -> None:
    assert read(patched(TAIL + 16, "<I", 0)) == ()


@given(st.data())
def test_no_change_of_a_library_breaks_the_reader(data: st.DataObject) -> None:
    changed = bytearray(library(("libx.so.1", "X_1", "X_2")))
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(4, len(changed) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(changed)))
    try:
        versions = read(bytes(changed[:length]))
    except ElfError:
        return
    assert all(isinstance(version, str) for version in versions)
