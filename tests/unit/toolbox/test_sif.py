"""The format of Apptainer's image files: what we write is read again, and what lies about itself is refused."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.errors import DjedError, ToolError, UnreadableError, UnsafeError
from djed.toolbox.sif import METADATA, opened, read, write

SQUASHFS = struct.pack("<5I6H8Q", 0x73717368, 7, 0, 2**17, 1, 1, 17, 0, 1, 4, 0, 0, 4000, *[0] * 6).ljust(
    4096, b"\1"
)
"""A superblock that says: 7 inodes, 4000 bytes."""
TABLE, ENTRY = 4096, 585


def made(folder: Path, **more: object) -> bytes:
    """The bytes of a file with one label."""
    (folder / "root").write_bytes(SQUASHFS)
    given = {"arch": "x86_64", "labels": {"a": "ä"}, "definition": "From: x\n", "epoch": 5, **more}
    write(folder / "root", folder / "x.sif", **given)  # type: ignore[arg-type]
    return (folder / "x.sif").read_bytes()


def changed(data: bytes, at: int, form: str, value: object) -> io.BytesIO:
    """The file with another value at a place."""
    wrong = bytearray(data)
    struct.pack_into(form, wrong, at, value)
    return io.BytesIO(wrong)


def field(entry: int, offset: int) -> int:
    return TABLE + entry * ENTRY + offset


def test_what_is_written_is_read(tmp_path: Path) -> None:
    data = made(tmp_path, metadata={"type": "container"})
    found = read(io.BytesIO(data))
    assert (found.arch, found.created, found.inodes, found.signed) == ("x86_64", 5, 7, False)
    assert (found.labels, found.definition) == ({"a": "ä"}, "From: x\n")
    assert [item.name for item in found.objects] == ["", "labels.json", METADATA, ""]
    assert found.partition.offset % 4096 == 0
    assert data[found.partition.offset :] == SQUASHFS
    assert data.startswith(b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\x0001\x0002\0")


def test_same_parts_same_bytes_and_id(tmp_path: Path) -> None:
    first = made(tmp_path)
    os.utime(tmp_path / "root", (0, 0))
    assert made(tmp_path) == first
    others = [
        made(tmp_path, labels={}),
        made(tmp_path, epoch=6),
        made(tmp_path, definition=""),
        made(tmp_path, arch="aarch64"),
    ]
    assert len({read(io.BytesIO(data)).id for data in (first, *others)}) == 5


def test_an_architecture_that_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="'vax'"):
        made(tmp_path, arch="vax")
    assert not (tmp_path / "x.sif").exists()


def test_labels_of_apptainers_own_files(tmp_path: Path) -> None:
    labels = {"name": "x", "number": 3}
    metadata = {"data": {"attributes": {"labels": labels}}, "type": "container", "padding": "x" * 9000}
    data = changed(made(tmp_path, metadata=metadata), field(1, 0), "<i", 0x4007).getvalue()
    assert read(io.BytesIO(data)).labels == {"name": "x"}
    start = read(io.BytesIO(data)).objects[2].offset
    for wrong in (b"[" * 5000, b"nonsense", b'{"data": []}', b"[]", b"\xff"):
        broken = bytearray(changed(data, field(2, 25), "<q", len(wrong)).getvalue())
        broken[start : start + len(wrong)] = wrong
        assert read(io.BytesIO(broken)).labels == {}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda data: io.BytesIO(b""), UnreadableError, "shorter"),
        (lambda data: io.BytesIO(data[:200]), UnsafeError, "outside"),
        (lambda data: io.BytesIO(data[:-1]), UnsafeError, "outside"),
        (lambda data: io.BytesIO(b"\x7fELF" + bytes(200)), UnreadableError, "no image file"),
        (lambda data: changed(data, 42, "<3s", b"99\0"), UnreadableError, "version"),
        (lambda data: changed(data, 88, "<q", 2**40), UnsafeError, "descriptors"),
        (lambda data: changed(data, 88, "<q", -1), UnsafeError, "descriptors"),
        (lambda data: changed(data, 96, "<q", 2**62), UnsafeError, "outside"),
        (lambda data: changed(data, 96, "<q", -5), UnsafeError, "outside"),
        (lambda data: changed(data, 96, "<q", 10), UnsafeError, "outside"),
        (lambda data: changed(data, field(0, 17), "<q", 0), UnsafeError, "object 1"),
        (lambda data: changed(data, field(0, 17), "<q", 2**62), UnsafeError, "object 1"),
        (lambda data: changed(data, field(0, 17), "<q", -(2**62)), UnsafeError, "object 1"),
        (lambda data: changed(data, field(0, 17), "<q", 5000), UnsafeError, "object 1"),
        (lambda data: changed(data, field(0, 25), "<q", -1), UnsafeError, "object 1"),
        (lambda data: changed(data, field(0, 25), "<q", 2**63 - 1), UnsafeError, "object 1"),
        (lambda data: changed(data, field(2, 4), "<B", 0), UnreadableError, "no file systems"),
        (lambda data: changed(data, field(2, 201), "<i", 5), UnreadableError, "encrypted"),
        (lambda data: changed(data, field(2, 205), "<i", 3), UnreadableError, "no file systems"),
        (lambda data: changed(data, field(2, 25), "<q", 20), UnreadableError, "cut off"),
        (lambda data: changed(data, field(2, 25), "<q", 3999), UnreadableError, "cut off"),
        (lambda data: io.BytesIO(data.replace(b"hsqs", b"ext4")), UnreadableError, "no squashfs"),
    ],
)  # fmt: skip
def test_what_lies_about_itself_is_refused(
    tmp_path: Path, change: Callable[[bytes], io.BytesIO], error: type[DjedError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read(change(made(tmp_path)), name="it")


def test_texts_that_no_honest_file_has(tmp_path: Path) -> None:
    data = made(tmp_path, definition="x" * (17 * 2**20))
    with pytest.raises(UnsafeError, match="text"):
        read(io.BytesIO(data))


def test_two_file_systems_to_run(tmp_path: Path) -> None:
    data = bytearray(made(tmp_path))
    data[field(3, 0) : field(4, 0)] = data[field(2, 0) : field(3, 0)]
    with pytest.raises(UnreadableError, match="2 file systems"):
        read(io.BytesIO(data))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return made(tmp_path_factory.mktemp("whole"))


@given(at=st.integers(0, 4096 + 4 * ENTRY), wrong=st.binary(min_size=1, max_size=16))
def test_any_damage_ends_in_a_sentence(whole: bytes, at: int, wrong: bytes) -> None:
    with suppress(DjedError):
        read(io.BytesIO(whole[:at] + wrong + whole[at + len(wrong) :]))


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name, error in (("pipe", UnsafeError), ("link", UnreadableError), ("none", UnreadableError)):
        with pytest.raises(error):
            opened(tmp_path / name)
