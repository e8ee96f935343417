"""What dpkg has installed, from its own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.model.contents import NativePackage
from djed.toolbox.packagedb import find_native, read_native
from djed.toolbox.rootview import RootView

STATUS = """\
Package: lamp
Status: install ok installed
Priority: optional
Installed-Size: 12
Architecture: amd64
Multi-Arch: same
Source: lantern (2.0-1)
Version: 1:2.0-1+b2
Replaces: candle (<< 1.4),
 torch
Provides: light (= 9), c-lamp
Depends: oil (>= 2.34),
  wick | wick-virtual (>= 1),
Pre-Depends: glass
Description: a lamp
 Depends: not this
 .
 Version: nor this

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all

Package: half
Status: install ok half-installed
Version: 1

Package: unpacked
Status: install ok unpacked
Version: 3
Architecture: all

Package: waits
Status: install ok triggers-pending
version: 4
ARCHITECTURE: all
"""
DEP5 = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: lamp

Files: *
Copyright: somebody
License: GPL-2+

Files: wick/*
License: MIT or Apache-2.0

Files: oil/*
License: GPL-2+

License: GPL-2+
 Long text.
 License: not this
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    doc = tmp_path / "usr/share/doc"
    (doc / "lamp").mkdir(parents=True)
    (doc / "lamp/copyright").write_text(DEP5)
    (doc / "waits").mkdir()
    (doc / "waits/copyright").write_text("This is prose.\nLicense: GPL\n")
    (doc / "unpacked").symlink_to("lamp")
    return tmp_path


def test_every_field_is_read(root: Path) -> None:
    lamp = read_native(root)[0]
    assert lamp == NativePackage(
        kind="deb",
        name="lamp",
        version="1:2.0-1+b2",
        arch="amd64",
        source="lantern (2.0-1)",
        licence="GPL-2+ AND (MIT or Apache-2.0)",
        depends=("oil (>= 2.34)", "wick | wick-virtual (>= 1)"),
        pre_depends=("glass",),
        replaces=("candle (<< 1.4)", "torch"),
        provides=("light (= 9)", "c-lamp"),
        size=12 * 1024,
    )


def test_what_has_its_files_is_there(root: Path) -> None:
    assert [(package.name, package.version) for package in read_native(root)] == [
        ("lamp", "1:2.0-1+b2"),
        ("unpacked", "3"),
        ("waits", "4"),
    ]


def test_brief_is_name_version_and_architecture(root: Path) -> None:
    assert read_native(root, brief=True)[0] == NativePackage(
        kind="deb", name="lamp", version="1:2.0-1+b2", arch="amd64"
    )


def test_licences_come_from_machine_readable_files_alone(root: Path) -> None:
    licences = {package.name: package.licence for package in read_native(root)}
    assert licences == {
        "lamp": "GPL-2+ AND (MIT or Apache-2.0)",
        "unpacked": "GPL-2+ AND (MIT or Apache-2.0)",
        "waits": None,
    }


def test_distroless_images_have_a_file_a_package(tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True)
    (folder / "base").write_text("Package: base-files\nVersion: 12\nArchitecture: amd64\n")
    (folder / "base.md5sums").write_text("d41d8  etc/x\n")
    (folder / "tzdata").write_text("Package: tzdata\r\nVersion: 2026a\r\nArchitecture: all\r\n")
    assert [(package.name, package.version) for package in read_native(tmp_path)] == [
        ("base-files", "12"),
        ("tzdata", "2026a"),
    ]


def test_a_root_without_a_database_has_no_packages(tmp_path: Path) -> None:
    assert read_native(tmp_path) == ()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg/status").mkdir(parents=True)
    with RootView(tmp_path) as files:
        assert find_native(files) == ((), ("/var/lib/dpkg/status: no regular file",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        "Package: a",
        "Version: 1\n",
        ":::\n",
        "\0\xff",
        " Package: a\n Version: 1\n",
        "Package:\nVersion:\n",
    ],
)
def test_broken_paragraphs_are_no_packages(tmp_path: Path, text: str) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_bytes(text.encode("latin-1"))
    assert read_native(tmp_path) == ()


def test_a_size_that_is_no_number_is_none(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    for size in ("x", "-1", "9" * 5000, "٣"):
        (tmp_path / "var/lib/dpkg/status").write_text(f"Package: a\nVersion: 1\nInstalled-Size: {size}\n")
        assert read_native(tmp_path)[0].size is None
