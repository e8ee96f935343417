"""Files that a hostile program wrote: no link is followed, no pipe blocks, everything can be removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from djed.errors import UnsafeError
from djed.toolbox import fs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_text("secret")
    folder = tmp_path / "outputs"
    (folder / "d").mkdir(parents=True)
    (folder / "d/file").write_text("text")
    (folder / "link").symlink_to("../elsewhere/secret")
    (folder / "way").symlink_to("../elsewhere")
    os.mkfifo(folder / "pipe")
    return folder


def test_walk_yields_files_and_names_what_it_skips(folder: Path) -> None:
    found = {entry.path: (entry.kind, entry.size, entry.reason) for entry in fs.walk_regular(folder)}
    assert found == {
        "d/file": ("file", 4, None),
        "link": ("skipped", 0, "a symbolic link is not kept"),
        "way": ("skipped", 0, "a symbolic link is not kept"),
        "pipe": ("skipped", 0, "a named pipe is not kept"),
    }


def test_walk_ends_at_its_cap(folder: Path) -> None:
    with pytest.raises(UnsafeError, match="more than 2 entries"):
        list(fs.walk_regular(folder, max_entries=2))


@pytest.mark.parametrize("name", ["link", "way", "d/file", "missing"])
def test_walk_refuses_what_is_no_directory(folder: Path, name: str) -> None:
    with pytest.raises(UnsafeError):
        list(fs.walk_regular(folder / name))


def test_open_regular_reads_a_file(folder: Path) -> None:
    with fs.open_regular(folder, "d/file") as descriptor:
        assert os.read(descriptor, 10) == b"text"


@pytest.mark.parametrize(
    "path", ["link", "way/secret", "pipe", "d", "missing", "../elsewhere/secret", "/etc/passwd", ""]
)
def test_open_regular_refuses_all_else(folder: Path, path: str) -> None:
    with pytest.raises(UnsafeError), fs.open_regular(folder, path):
        pytest.fail("opened")


def test_open_regular_leaves_no_descriptor_open(folder: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("d/file", "way/secret", "d"):
        try:
            with fs.open_regular(folder, path):
                pass
        except UnsafeError:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_disk_use_follows_no_link(folder: Path) -> None:
    (folder.parent / "elsewhere/big").write_bytes(b"x" * 200_000)
    (folder / "d/file").write_bytes(b"x" * 50_000)
    assert 50_000 <= fs.disk_use(folder) < 150_000


def test_remove_tree_leaves_what_links_lead_to(folder: Path) -> None:
    (folder / "d/locked").mkdir()
    (folder / "d/locked/file").touch()
    (folder / "d/locked").chmod(0)
    fs.remove_tree(folder)
    assert not folder.exists()
    assert (folder.parent / "elsewhere/secret").exists()


def test_remove_tree_of_a_link_removes_the_link(folder: Path) -> None:
    fs.remove_tree(folder / "way")
    assert not (folder / "way").is_symlink()
    assert (folder.parent / "elsewhere/secret").exists()


def test_remove_tree_of_nothing_does_nothing(folder: Path) -> None:
    fs.remove_tree(folder / "missing")
    fs.remove_tree(folder / "no/such/parent")


def test_remove_tree_goes_as_deep_as_a_script_can(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    fs.remove_tree(tmp_path / "d")
    assert not (tmp_path / "d").exists()
