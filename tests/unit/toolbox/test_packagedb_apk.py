"""What apk has installed, from its own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.model.contents import NativePackage
from djed.toolbox.packagedb import read_native

INSTALLED = """\
C:Q1abc=
P:musl
V:1.2.5-r0
A:x86_64
S:407278
I:667648
T:the musl c library
U:https://musl.example/
L:MIT
o:musl
m:Somebody <somebody@mail.example>
t:1709000000
c:abc
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1def=

P:busybox
V:1.36.1-r28
A:x86_64
I:946176
L:GPL-2.0-only
o:busybox
D:so:libc.musl-x86_64.so.1 !uclibc
p:/bin/sh cmd:busybox=1.36.1-r28
r:busybox-initscripts
F:bin
M:0:0:755
"""


@pytest.mark.parametrize("path", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_every_field_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(INSTALLED)
    assert read_native(tmp_path) == (
        NativePackage(
            kind="apk",
            name="busybox",
            version="1.36.1-r28",
            arch="x86_64",
            source="busybox",
            licence="GPL-2.0-only",
            depends=("so:libc.musl-x86_64.so.1", "!uclibc"),
            replaces=("busybox-initscripts",),
            provides=("/bin/sh", "cmd:busybox=1.36.1-r28"),
            size=946176,
        ),
        NativePackage(
            kind="apk",
            name="musl",
            version="1.2.5-r0",
            arch="x86_64",
            source="musl",
            licence="MIT",
            provides=("so:libc.musl-x86_64.so.1=1",),
            size=667648,
        ),
    )
    assert read_native(tmp_path, brief=True)[1] == NativePackage(
        kind="apk", name="musl", version="1.2.5-r0", arch="x86_64"
    )


def test_a_database_under_both_its_paths_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/apk/db").mkdir(parents=True)
    (tmp_path / "usr/lib/apk/db/installed").write_text(INSTALLED)
    (tmp_path / "lib").symlink_to("usr/lib")
    assert len(read_native(tmp_path)) == 2


@pytest.mark.parametrize("text", ["", "\n\n", "P:a\n", "V:1\n", "F:x\nR:y\n", "P:\nV:\n"])
def test_broken_paragraphs_are_no_packages(tmp_path: Path, text: str) -> None:
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    (tmp_path / "lib/apk/db/installed").write_text(text)
    assert read_native(tmp_path) == ()
