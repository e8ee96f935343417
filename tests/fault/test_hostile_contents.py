"""Folders that mean harm are looked into: nothing outside is read, nothing blocks, nothing is read without end, and it is told."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.model.codec import encode
from djed.model.contents import Contents
from djed.observe.contents import edges, purl, read_contents, sources

TERABYTE = 2**40
SECRET = "a secret of this machine"


def put(path: Path, data: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def sparse(path: Path) -> Path:
    put(path)
    os.truncate(path, TERABYTE)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return put(tmp_path / "outside/secret", f"Name: {SECRET}\nPackage: {SECRET}\nVersion: 1\n")


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def look(root: Path) -> Contents:
    """Everything that is done with contents can be done with these, within seconds."""
    start = time.monotonic()
    contents = read_contents(root, "hostile", "root")
    list(edges(contents))
    for native in contents.native:
        purl(native, contents.os_release)
    for package in contents.python:
        purl(package, contents.os_release)
    json.dumps(encode(contents), ensure_ascii=False).encode()
    assert time.monotonic() - start < 30
    return contents


@pytest.mark.parametrize("way", ["absolute", "relative"])
@pytest.mark.parametrize(
    "path",
    [
        "var/lib/dpkg/status",
        "var/lib/dpkg/status.d/x",
        "lib/apk/db/installed",
        "var/lib/rpm/rpmdb.sqlite",
        "x.dist-info/METADATA",
        "x.egg-info",
        "x.egg-info/PKG-INFO",
        "etc/os-release",
        "x.py",
        "usr/lib/libc.so.6",
        "usr/local/cuda/version.txt",
        "usr/bin/python3",
        "pyvenv.cfg",
    ],
)
def test_links_lead_nowhere_outside(root: Path, secret: Path, path: str, way: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    target = str(secret) if way == "absolute" else os.path.relpath(secret, (root / path).parent)
    (root / path).symlink_to(target)
    contents = look(root)
    assert SECRET not in repr(contents)
    assert not contents.python_files
    assert not contents.native


@pytest.mark.parametrize("path", ["var/lib/dpkg", "x.dist-info", "usr/lib", "var"])
def test_folders_that_are_links_lead_nowhere_outside(root: Path, secret: Path, path: str) -> None:
    put(secret.parent / "status", secret.read_bytes())
    put(secret.parent / "METADATA", secret.read_bytes())
    put(secret.parent / "lib/dpkg/status", secret.read_bytes())
    put(secret.parent / "a.py", "")
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(secret.parent)
    contents = look(root)
    assert SECRET not in repr(contents)
    assert not contents.python_files


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere_outside(root: Path, secret: Path) -> None:
    put(secret.parent / "a.py", "secret = 1\n")
    put(root / "way/a.py", "harmless = 1\n")
    (root / "link").symlink_to(secret.parent)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            (root / "way").rename(root / "kept")
            (root / "link").rename(root / "way")
            (root / "way").rename(root / "link")
            (root / "kept").rename(root / "way")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        digests = {file.sha256 for _ in range(200) for file in read_contents(root, "x", "root").python_files}
    finally:
        over.set()
        swapping.join()
    assert digests <= {hashlib.sha256(b"harmless = 1\n").hexdigest()}


@pytest.mark.parametrize(
    "path",
    [
        "a.py",
        "x.dist-info/METADATA",
        "x.egg-info",
        "var/lib/dpkg/status",
        "usr/lib/libc.so.6",
        "usr/bin/python3",
        "etc/os-release",
    ],
)
def test_pipes_do_not_block(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(root / path)
    contents = look(root)
    assert not contents.python_files
    assert not contents.python
    assert not contents.native


def test_links_in_a_circle_end(root: Path) -> None:
    for path in ("x.dist-info", "var", "usr", "etc"):
        (root / path).symlink_to(path)
    (root / "y.dist-info").symlink_to(".")
    (root / "bin").mkdir()
    (root / "bin/python3").symlink_to("python")
    (root / "bin/python").symlink_to("python3")
    contents = look(root)
    assert [found.version for found in contents.interpreters] == [None, None]
    assert len(contents.skipped) >= 2


def test_folders_deeper_than_anybody_makes_are_told(root: Path) -> None:
    current = os.open(root, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=current)
        inner = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = inner
    os.close(current)
    contents = look(root)
    assert contents.skipped == ("/d" * 129 + ": it lies deeper than 128 folders",)


@pytest.mark.parametrize(
    "path",
    [
        "a.py",
        "x.dist-info/METADATA",
        "x.egg-info/PKG-INFO",
        "var/lib/dpkg/status",
        "lib/apk/db/installed",
        "var/lib/rpm/rpmdb.sqlite",
        "usr/local/cuda/bin/nvcc",
        "usr/local/cuda/version.json",
    ],
)
def test_files_larger_than_they_can_be_are_told(root: Path, path: str) -> None:
    sparse(root / path)
    (sentence,) = look(root).skipped
    assert sentence.startswith(f"/{path.removesuffix('/METADATA').removesuffix('/PKG-INFO')}: ")
    assert "larger than" in sentence or "more Python source" in sentence


@pytest.mark.parametrize(
    "path", ["usr/bin/python3.11", "usr/lib/libc.so.6", "etc/os-release", "pyvenv.cfg", "x.dist-info/RECORD"]
)
def test_files_that_are_looked_into_are_bounded_too(root: Path, path: str) -> None:
    put(root / "x.dist-info/METADATA", "Name: x\nVersion: 1\n")
    sparse(root / path)
    assert look(root).size >= TERABYTE


def test_source_is_read_up_to_a_budget(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MAX_ALL", 100)
    for number in range(10):
        put(root / f"{number}.py", "x" * 30)
    contents = look(root)
    assert len(contents.python_files) == 3
    assert len(contents.skipped) == 7


def test_names_that_are_no_text_are_told_as_text(root: Path) -> None:
    for name in (b"\xff\xfe.py", b"new\nline.py", b"\x1b[31m.py"):
        (root / os.fsdecode(name)).write_text("")
    folder = root / os.fsdecode(b"\xff.dist-info")
    put(folder / "METADATA", "Name: x\nVersion: 1\n")
    put(root / os.fsdecode(b"\xfe/y.dist-info/METADATA"), "Name: y\nVersion: 1\n")
    put(root / os.fsdecode(b"\xfe/z.dist-info/METADATA"))
    contents = look(root)
    assert "/\\xff\\xfe.py" in [file.path for file in contents.python_files]
    assert [package.location for package in contents.python] == ["/", "/\\xfe"]
    assert contents.skipped == ("/\\xfe/z.dist-info: its metadata has no name or no version",)


@pytest.mark.parametrize(
    "data",
    [
        b"\n ".join([b"License: x"] * 300_000),
        b"Name: " + b"x" * 5_000_000 + b"\nVersion: 1\n",
        b"Name: x\nVersion: 1\n" + b"Requires-Dist: y\n" * 100_000,
        b"Name: x\nVersion: 1\nRequires-Dist: y; " + b"(" * 1_000_000,
        b"Name: x\nVersion: 1\n" + b"Requires-Dist: x; python_version > '3' " * 50_000,
        b"Name: x\nVersion: 1\n" + b" \t" * 2_000_000,
        b"\r\n" * 2_000_000,
        b"Name: x\nVersion: " + b"1." * 500_000 + b"\n",
        bytes(range(256)) * 20_000,
    ],
)
def test_metadata_made_to_be_slow_is_read_in_time(root: Path, data: bytes) -> None:
    put(root / "x.dist-info/METADATA", data)
    look(root)


@pytest.mark.parametrize(
    "data",
    [
        b"Package: a\nVersion: 1\nDepends: " + b"a, " * 500_000,
        b"Package: a\nVersion: " + b"1" * 1_000_000 + b"\nDepends: a (>= " + b"2" * 1_000_000 + b")",
        b"Package: a\nVersion: 1\nDepends: " + b"(" * 1_000_000,
        b"Package: a\nVersion: 1\nDepends: " + b"a | " * 500_000,
        b"\n \n" * 1_000_000,
        b"Package:" + b" \t" * 1_000_000,
        b"Package: a\nVersion: 1\n\n" * 100_000,
        b"a" * 5_000_000,
    ],
)
def test_databases_made_to_be_slow_are_read_in_time(root: Path, data: bytes) -> None:
    put(root / "var/lib/dpkg/status", data)
    put(root / "usr/share/doc/a/copyright", b"Format: copyright-format\n" + data[: 2**20])
    look(root)


def test_many_reasons_are_counted(root: Path) -> None:
    for number in range(1100):
        (root / f"{number}.dist-info").mkdir()
    contents = look(root)
    assert len(contents.skipped) == 1001
    assert contents.skipped[-1] == "and 100 more"


@pytest.mark.needs("root")
def test_devices_are_not_opened(root: Path) -> None:
    try:
        for name in ("a.py", "x.egg-info"):
            os.mknod(root / name, 0o600 | 0o020000, os.makedev(1, 9))  # urandom
    except PermissionError as error:
        pytest.skip(f"no device can be made here: {error}")
    contents = look(root)
    assert not contents.python_files
    assert not contents.python
