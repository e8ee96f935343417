from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from djed.build.manifest import check_manifest, read_manifest
from djed.errors import UnsafeError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/module.py").write_text("one = 1\n")
    (folder / "link").symlink_to("inner")
    return folder


def rewrite_unseen(folder: Path) -> None:
    """Other content of the same length, with the time put back."""
    file = folder / "inner/module.py"
    before = file.stat()
    file.write_text("one = 2\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def replace_link(folder: Path) -> Path:
    (folder / "link").unlink()
    return folder / "link"


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda folder: (folder / "inner/module.py").write_text("two = 22\n"),
    "time": rewrite_unseen,
    "mode": lambda folder: (folder / "inner/module.py").chmod(0o777),
    "added": lambda folder: (folder / "inner/other.pth").write_text(""),
    "removed": lambda folder: (folder / "inner/module.py").unlink(),
    "renamed": lambda folder: (folder / "inner/module.py").rename(folder / "inner/eludom.py"),
    "link": lambda folder: replace_link(folder).symlink_to("/etc"),
    "type": lambda folder: replace_link(folder).mkdir(),
    "gone": lambda folder: folder.rename(folder.parent / "elsewhere"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(folder: Path, change: str) -> None:
    manifest, _ = read_manifest(folder)
    assert check_manifest(folder, manifest)
    CHANGES[change](folder)
    assert not check_manifest(folder, manifest)


def test_a_moved_artifact_is_the_same(folder: Path) -> None:
    manifest, size = read_manifest(folder)
    assert size == len("one = 1\n")
    moved = folder.rename(folder.parent / "moved")
    assert check_manifest(moved, manifest)


def test_what_links_lead_to_is_neither_read_nor_counted(folder: Path) -> None:
    before = read_manifest(folder)[1]
    os.utime(folder / "link", ns=(0, 0), follow_symlinks=False)
    (folder.parent / "outside").write_text("x" * 1000)
    (folder / "out").symlink_to("../outside")
    assert read_manifest(folder)[1] == before


def test_a_link_to_a_folder_is_no_artifact(folder: Path) -> None:
    link = folder.parent / "alias"
    link.symlink_to(folder)
    with pytest.raises(UnsafeError):
        read_manifest(link)


def test_of_an_image_the_blobs_count_and_that_its_root_is_there(folder: Path) -> None:
    (folder / "root/etc").mkdir(parents=True)
    (folder / "inner/root").mkdir()
    manifest, size = read_manifest(folder, without="root")
    (folder / "root/etc/hosts").write_text("not looked at")
    assert read_manifest(folder, without="root") == (manifest, size)
    assert check_manifest(folder, manifest, "image")
    assert not check_manifest(folder, manifest)
    (folder / "inner/root/new").touch()
    assert not check_manifest(folder, manifest, "image"), "only the folder at the top is left out"
    (folder / "inner/root/new").unlink()
    manifest, _ = read_manifest(folder, without="root")
    (folder / "root").rename(folder.parent / "root")
    assert not check_manifest(folder, manifest, "image"), "removed behind our back: to be built anew"
    (folder / "root").symlink_to(folder.parent / "root")
    assert not check_manifest(folder, manifest, "image")
