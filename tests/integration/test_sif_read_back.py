"""Apptainer files read back: what is in them, and what is refused."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
from pathlib import Path

import pytest

from djed.errors import MissingPartError, ToolError, UnsafeError
from djed.toolbox import squashfs
from djed.toolbox.archive import Caps
from djed.toolbox.sif import read, unpack_sif, write
from tests.support.apptainer import machine
from tests.support.images import tiny_root

pytestmark = pytest.mark.needs("mksquashfs")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where the Apptainer machine works."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def made_of(folder: Path, into: Path) -> Path:
    """An image file of a folder, made of it as it is, devices and all."""
    filesystem = into.with_suffix(".squashfs")
    subprocess.run(
        ["mksquashfs", folder, filesystem, "-quiet", "-no-progress", "-noappend"],
        check=True,
        capture_output=True,
    )
    write(filesystem, into, arch="x86_64", labels={}, definition="", epoch=0)
    return into


def test_what_gives_rights_away_is_left_behind(tmp_path: Path) -> None:
    folder, into = tmp_path / "from", tmp_path / "into"
    (folder / "deep/er").mkdir(parents=True)
    into.mkdir()
    (folder / "set").write_text("x")
    (folder / "set").chmod(0o6755)
    (folder / "closed").write_text("x")
    (folder / "closed").chmod(0)
    (folder / "deep/er/link").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("../../..")
    os.mkfifo(folder / "pipe")
    (folder / "deep").chmod(0o555)
    unpack_sif(made_of(folder, tmp_path / "x.sif"), into)
    assert sorted(path.name for path in into.iterdir()) == ["closed", "deep", "set", "up"]
    assert stat.S_IMODE((into / "set").stat().st_mode) == 0o755
    assert stat.S_IMODE((into / "closed").stat().st_mode) == 0o600
    assert (into / "deep/er/link").readlink() == Path("/etc/passwd")


def test_bombs_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder, into = tmp_path / "from", tmp_path / "into"
    folder.mkdir()
    into.mkdir()
    with (folder / "sparse").open("wb") as file:
        file.truncate(2**28)
    made = made_of(folder, tmp_path / "x.sif")
    with pytest.raises(UnsafeError, match="bytes"):
        unpack_sif(made, into)
    (folder / "sparse").unlink()
    for number in range(20):
        (folder / str(number)).touch()
    made = made_of(folder, tmp_path / "y.sif")
    with pytest.raises(UnsafeError, match="more than 10 entries"):
        unpack_sif(made, into, caps=Caps(entries=10))
    assert not any(into.iterdir())


def test_what_is_damaged_is_said(tmp_path: Path) -> None:
    folder, into = tmp_path / "from", tmp_path / "into"
    folder.mkdir()
    into.mkdir()
    (folder / "random").write_bytes(os.urandom(300_000))
    (folder / "text").write_text("text " * 10_000)
    made = made_of(folder, tmp_path / "x.sif")
    data = bytearray(made.read_bytes())
    with made.open("rb") as file:
        start = read(file).partition.offset
    data[start + 300_000 : start + 301_000] = bytes(1000)
    (tmp_path / "y.sif").write_bytes(data)
    with pytest.raises(ToolError, match="damaged"):
        unpack_sif(tmp_path / "y.sif", into)


def test_without_unsquashfs_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "into").mkdir()
    made = made_of(tmp_path / "from", tmp_path / "x.sif")
    monkeypatch.setitem(squashfs._ENV, "PATH", "/nowhere")
    with pytest.raises(MissingPartError, match="no unsquashfs") as caught:
        unpack_sif(made, tmp_path / "into")
    assert "squashfs-tools" in (caught.value.hint or "")


@pytest.mark.needs("root", "mmdebstrap")
def test_what_apptainer_built_is_read(tmp_path: Path, here: Path) -> None:
    tiny_root(here / "root")
    (tmp_path / "into").mkdir()
    machine().run("apptainer", "build", "root.sif", "root", here=here)
    found = unpack_sif(here / "root.sif", tmp_path / "into")
    assert found.arch == platform.machine()
    assert found.definition is not None
    assert "localimage" in found.definition
    assert not found.signed
    assert (tmp_path / "into/etc/os-release").read_text().startswith("ID=tiny")
