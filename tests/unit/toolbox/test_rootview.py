"""A folder taken for a root: links lead within it, wherever they say."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from djed.errors import UnsafeError
from djed.toolbox.rootview import RootView, printable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("outside")
    root = tmp_path / "root"
    (root / "etc/alternatives").mkdir(parents=True)
    (root / "usr/lib").mkdir(parents=True)
    (root / "etc/passwd").write_text("inside")
    (root / "usr/lib/file").write_text("text")
    (root / "lib").symlink_to("usr/lib")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "climbing").symlink_to("../../../../../../etc/passwd")
    (root / "etc/alternatives/file").symlink_to("/lib/file")
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "far").symlink_to("/".join(["usr/.."] * 400) + "/lib/file")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def files(root: Path) -> Iterator[RootView]:
    with RootView(root) as files:
        yield files


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "etc/passwd", "absolute", "climbing", "../../etc/./passwd", "/lib/../../etc/passwd"],
)
def test_every_way_ends_inside(files: RootView, path: str) -> None:
    assert files.read(path, 100) == b"inside"


@pytest.mark.parametrize("path", ["/lib/file", "/usr/lib/file", "/etc/alternatives/file", "lib/../lib/file"])
def test_links_mean_the_root(files: RootView, path: str) -> None:
    assert files.read(path, 100) == b"text"


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("missing", errno.ENOENT),
        ("one", errno.ELOOP),
        ("one/file", errno.ELOOP),
        ("far", errno.ENAMETOOLONG),
        ("pipe", errno.EINVAL),
        ("etc", errno.EINVAL),
        ("", errno.EINVAL),
        ("/..", errno.EINVAL),
        ("etc/passwd/x", errno.ENOTDIR),
        ("a\0b", errno.EINVAL),
        ("x" * 300, errno.ENAMETOOLONG),
    ],
)
def test_what_is_no_regular_file_is_refused(files: RootView, path: str, number: int) -> None:
    with pytest.raises(OSError, check=lambda error: error.errno == number):
        files.read(path, 100)


def test_a_file_that_is_too_large_is_refused(files: RootView) -> None:
    with pytest.raises(OSError, match="larger than 3") as error:
        files.read("lib/file", 3)
    assert error.value.errno == errno.EFBIG
    assert files.read("lib/file", 4) == b"text"


def test_folders_are_listed_through_links(files: RootView) -> None:
    assert files.names("/lib") == ["file"]
    assert files.names("/") == files.names("..") == files.names("/usr/lib/../../")
    assert files.names("/missing") == files.names("/lib/file") == files.names("one") == []


def test_no_descriptor_is_left_open(root: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = count()
    with RootView(root) as files:
        for path in ("/lib/file", "climbing", "one", "pipe", "missing", "etc/passwd/x"):
            files.names(path)
            with suppress(OSError):
                files.read(path, 100)
    assert count() == before


def test_a_root_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "missing"):
        with pytest.raises(UnsafeError, match=name):
            RootView(tmp_path / name)


def test_names_that_are_no_text_can_be_written() -> None:
    assert printable("/é") == "/é"
    assert printable(os.fsdecode(b"/\xff")) == "/\\xff"
