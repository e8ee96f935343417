"""What a folder holds: each kind of thing is found, wherever it lies."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path

import pytest

from djed.errors import UnsafeError
from djed.model.contents import Contents, FoundInterpreter, PythonFile, PythonPackage
from djed.observe.contents import read_contents
from tests.unit.toolbox.test_elf import library

METADATA = """\
Metadata-Version: 2.4
Name: Flask
Version: 3.1.2
License-Expression: BSD-3-Clause
Requires-Python: >=3.9
Requires-Dist: blinker>=1.9.0
Requires-Dist: asgiref>=3.2; extra == "async"

Requires-Dist: not this
"""


def put(path: Path, data: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def distribution(folder: Path, metadata: str = METADATA) -> None:
    put(folder / "METADATA", metadata)
    put(folder / "RECORD", "flask/app.py,sha256=x,1\nflask/cli.py,,\n\n")
    put(folder / "INSTALLER", "uv\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    put(root / "usr/lib/os-release", 'ID=debian\nVERSION_ID="12"\n')
    put(root / "var/lib/dpkg/status", "Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\n")
    distribution(root / "opt/venv/lib/python3.11/site-packages/flask-3.1.2.dist-info")
    put(root / "opt/venv/lib/python3.11/site-packages/flask/app.py", "import os\n")
    put(root / "opt/venv/pyvenv.cfg", "home = /usr/bin\nversion_info = 3.11.9\n")
    (root / "opt/venv/bin").mkdir()
    (root / "opt/venv/bin/python").symlink_to("/usr/bin/python3")
    put(root / "usr/bin/python3.11", b"\x7fELF...\x003.11.2\x00...")
    (root / "usr/bin/python3").symlink_to("python3.11")
    put(root / "usr/lib/x86_64-linux-gnu/libx.so.1", library(("libx.so.1", "X_1.0", "X_1.1")))
    (root / "usr/lib/x86_64-linux-gnu/libx.so").symlink_to("libx.so.1")
    put(root / "usr/lib/x86_64-linux-gnu/libm.so", "INPUT(libm.so.6)")
    put(root / "opt/venv/lib/python3.11/site-packages/x.libs/libx.so.1", library(("libx.so.1", "X_1.0")))
    put(
        root / "usr/local/cuda-12.4/version.json",
        json.dumps({"cuda": {"name": "CUDA SDK", "version": "12.4.1"}}),
    )
    put(root / "usr/local/cuda-9.0/version.txt", "CUDA Version 9.0.176\n")
    put(root / "usr/local/cuda-12.4/bin/nvcc", b"\0Cuda compilation tools, release 12.4, V12.4.131\nBuild\0")
    put(root / "usr/local/cuda-12.4/lib64/libcudart.so.12.4.127", "")
    put(root / "srv/version.txt", "CUDA Version 1.0\n")
    put(root / "proc/hidden.py", "")
    return root


@pytest.fixture
def contents(root: Path) -> Contents:
    return read_contents(root, "rootfs:x", "root")


def test_the_target_is_named_as_it_was(contents: Contents) -> None:
    assert (contents.target, contents.kind, contents.skipped) == ("rootfs:x", "root", ())


def test_system_and_native_packages_are_read(contents: Contents) -> None:
    assert contents.os_release == {"ID": "debian", "VERSION_ID": "12"}
    assert [package.name for package in contents.native] == ["libc6"]


def test_distributions_are_found_anywhere(contents: Contents) -> None:
    assert contents.python == (
        PythonPackage(
            name="Flask",
            version="3.1.2",
            location="/opt/venv/lib/python3.11/site-packages",
            licence="BSD-3-Clause",
            requires=("blinker>=1.9.0", 'asgiref>=3.2; extra == "async"'),
            requires_python=">=3.9",
            files=2,
            installer="uv",
        ),
    )


def test_sources_have_their_digests_but_for_what_the_kernel_shows(contents: Contents) -> None:
    digest = hashlib.sha256(b"import os\n").hexdigest()
    path = "/opt/venv/lib/python3.11/site-packages/flask/app.py"
    assert contents.python_files == (PythonFile(path=path, sha256=digest),)


def test_interpreters_have_their_versions(contents: Contents) -> None:
    assert contents.interpreters == (
        FoundInterpreter(path="/opt/venv/bin/python", link="/usr/bin/python3", version="3.11.9"),
        FoundInterpreter(path="/usr/bin/python3", link="python3.11", version="3.11.2"),
        FoundInterpreter(path="/usr/bin/python3.11", version="3.11.2"),
    )


def test_symbol_versions_are_those_of_the_system_s_libraries(contents: Contents) -> None:
    assert contents.symbols == {"/usr/lib/x86_64-linux-gnu/libx.so.1": ("X_1.0", "X_1.1")}


def test_cuda_is_told_by_all_that_tells_it(contents: Contents) -> None:
    assert contents.cuda == {
        "/usr/local/cuda-12.4/bin/nvcc": "12.4.131",
        "/usr/local/cuda-12.4/lib64/libcudart.so.12.4.127": "12.4.127",
        "/usr/local/cuda-12.4/version.json": "12.4.1",
        "/usr/local/cuda-9.0/version.txt": "9.0.176",
    }


def test_size_counts_a_file_of_several_names_once(tmp_path: Path) -> None:
    put(tmp_path / "a/one", "12345")
    os.link(tmp_path / "a/one", tmp_path / "a/two")
    (tmp_path / "a/three").symlink_to("one")
    put(tmp_path / "b", "123")
    assert read_contents(tmp_path, "x", "archive").size == 8


def test_a_virtual_environment_s_paths_begin_with_it(root: Path) -> None:
    contents = read_contents(root / "opt/venv", "venv", "venv")
    assert [package.location for package in contents.python] == ["/lib/python3.11/site-packages"]
    assert [found.path for found in contents.interpreters] == ["/bin/python"]
    assert contents.interpreters[0].version == "3.11.9"


def test_egg_info_is_read_as_folder_and_as_file(tmp_path: Path) -> None:
    info = "Metadata-Version: 1.1\nName: {}\nVersion: 1\nLicense: MIT\n"
    put(tmp_path / "a.egg-info/PKG-INFO", info.format("a"))
    put(tmp_path / "a.egg-info/requires.txt", "b>=1\n\n[x]\nc\n")
    put(tmp_path / "a.egg-info/installed-files.txt", "../a.py\n")
    put(tmp_path / "b-1.egg-info", info.format("b"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site/a.egg-info").symlink_to("../a.egg-info")
    found = read_contents(tmp_path, "x", "root").python
    assert [(package.name, package.location, package.requires, package.files) for package in found] == [
        ("a", "/", ("b>=1", 'c; extra == "x"'), 1),
        ("b", "/", (), 0),
        ("a", "/site", ("b>=1", 'c; extra == "x"'), 1),
    ]


@pytest.mark.parametrize("metadata", ["", "Name: x\n", "Version: 1\n", "\nName: x\nVersion: 1\n"])
def test_metadata_without_name_or_version_is_told(tmp_path: Path, metadata: str) -> None:
    put(tmp_path / "x.dist-info/METADATA", metadata)
    contents = read_contents(tmp_path, "x", "root")
    assert contents.python == ()
    assert contents.skipped == ("/x.dist-info: its metadata has no name or no version",)


def test_a_distribution_without_metadata_is_told(tmp_path: Path) -> None:
    put(tmp_path / "x.dist-info/RECORD", "")
    assert read_contents(tmp_path, "x", "root").skipped == (
        "/x.dist-info: its metadata cannot be read: No such file or directory",
    )


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeError):
        read_contents(put(tmp_path / "file"), "x", "root")


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert read_contents(tmp_path, "x", "root") == Contents(target="x", kind="root")


def test_this_python_is_found_with_its_version(tmp_path: Path) -> None:
    """A start of another Python, as a virtual environment has it: its settings tell."""
    put(tmp_path / "pyvenv.cfg", f"version = {platform.python_version()}\n")
    put(tmp_path / "bin/python3")
    assert read_contents(tmp_path, "x", "venv").interpreters[0].version == platform.python_version()
