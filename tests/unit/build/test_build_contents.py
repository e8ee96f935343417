from __future__ import annotations

from pathlib import Path

import pytest

from djed.build.contents import read_contents, read_metadata, read_modules
from djed.errors import ToolError
from tests.support.assemblies import install


def metadata(*lines: str) -> bytes:
    return "\n".join(
        ["Metadata-Version: 2.4", "Name: App", "Version: 1.0", *lines, "", "Name: not.a.header"]
    ).encode()


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: other"], "MIT OR Apache-2.0"),
        (["License: BSD 3-Clause", "Classifier: License :: OSI Approved :: MIT License"], "BSD 3-Clause"),
        (["License: Copyright (c) 2005", "        All rights reserved."], "Copyright (c) 2005"),
        (
            ["License: Copyright", "        All", "Classifier: License :: OSI Approved :: BSD License"],
            "BSD License",
        ),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: BSD License"], "BSD License"),
        (
            ["Classifier: License :: OSI Approved", "Classifier: License :: OSI Approved :: MIT License"],
            "MIT License",
        ),
        (["License: " + "x" * 500], "x" * 200),
        ([], None),
    ],
)
def test_the_licence_is_the_expression_else_the_text_else_the_classifiers(
    lines: list[str], licence: str | None
) -> None:
    assert read_metadata(metadata(*lines)).licence == licence


def test_requirements_are_kept_as_they_are_and_names_normalised() -> None:
    found = read_metadata(metadata("Requires-Dist: Leaf.X>=1 ; extra == 'y'", "requires-dist: b"))
    assert (found.name, found.version, found.requires) == ("app", "1.0", ("Leaf.X>=1 ; extra == 'y'", "b"))


@pytest.mark.parametrize(
    "data", [b"", b"Name: a\n", b"Name: a\nName: b\nVersion: 1\n", b"\xff\xfe\0", b"garbage"]
)
def test_metadata_that_names_no_package_is_refused(data: bytes) -> None:
    with pytest.raises(ToolError, match="metadata"):
        read_metadata(data)


def test_a_link_in_place_of_metadata_is_not_followed(tmp_path: Path) -> None:
    site_packages = install(tmp_path / "venv", ("app", "1.0"))
    file = site_packages / "app-1.0.dist-info/METADATA"
    file.unlink()
    file.symlink_to("/etc/hostname")
    with pytest.raises(ToolError, match="cannot be read"):
        read_contents(site_packages)


def test_every_distribution_is_listed_by_name(tmp_path: Path) -> None:
    found = read_contents(install(tmp_path / "venv", ("b", "2"), ("a", "1")))
    assert [(content.name, content.version) for content in found] == [("a", "1"), ("b", "2")]


def test_an_environment_without_its_packages_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="site-packages"):
        read_contents(tmp_path / "site-packages")


def test_the_top_level_modules_are_those_that_can_be_imported() -> None:
    record = (
        b"psij/__init__.py,sha256=x,1\npsij/a/b.py,,\nsix.py,,\n_fast.cpython-311-x86_64-linux-gnu.so,,\n"
        b"psij_python-0.9.dist-info/METADATA,,\nnumpy.libs/libx.so,,\n../../../bin/tool,,\n__pycache__/six.pyc,,\nhook.pth,,\n"
    )
    assert read_modules(record) == ("_fast", "psij", "six")
