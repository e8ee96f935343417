"""What a job leaves is weighed without following a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.run.shim import disk

KIB = 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job/a/b").mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(b"x" * 400 * KIB)
    return tmp_path / "job"


def test_counts_nested_files(folder: Path) -> None:
    (folder / "a/b/f").write_bytes(b"x" * 100 * KIB)
    assert 100 * KIB <= sum(disk.walk([str(folder)])) < 200 * KIB


def test_follows_no_link(folder: Path) -> None:
    (folder / "a/file").symlink_to(folder.parent / "elsewhere")
    (folder / "a/folder").symlink_to(folder.parent)
    assert sum(disk.walk([str(folder)])) < 100 * KIB


def test_a_link_in_place_of_the_folder_weighs_nothing(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)
    assert list(disk.walk([str(folder / "link"), str(folder / "missing")])) == []


def test_too_deep_a_tree_weighs_more_than_any_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "DEEPEST", 1)
    assert sum(disk.walk([str(folder)])) == float("inf")


def test_notices_when_the_limit_is_passed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([1000 * KIB, 1000 * KIB, 900 * KIB])
    monkeypatch.setattr(disk, "_free", lambda _: next(free))
    watch = disk.DiskWatch([str(folder)], 100 * KIB)
    assert not watch.check(), "free space gives no cause to look"
    (folder / "f").write_bytes(b"x" * 100 * KIB)
    assert watch.check()


def test_looks_now_and_then_whatever_free_space_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "f").write_bytes(b"x" * 100 * KIB)
    monkeypatch.setattr(disk, "_free", lambda _: 0)
    watch = disk.DiskWatch([str(folder)], 50 * KIB)
    assert not watch.settle()
    monkeypatch.setattr(disk, "ROUTINE", -1.0)
    assert watch.settle()


def test_walks_in_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (folder / f"d{number}").mkdir()
        (folder / f"d{number}/f").write_bytes(b"x" * 20 * KIB)
    monkeypatch.setattr(disk, "ROUTINE", -1.0)
    monkeypatch.setattr(disk, "STEP", -1.0)
    watch = disk.DiskWatch([str(folder)], 90 * KIB)
    assert not watch.check(), "no time left for this look"
    monkeypatch.setattr(disk, "STEP", 1.0)
    assert watch.check()
