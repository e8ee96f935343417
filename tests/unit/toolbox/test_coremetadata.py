"""Metadata of distributions, as installers and old tools left it."""

from __future__ import annotations

from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.toolbox.coremetadata import headers, licence, old_requirements


def test_fields_end_at_the_empty_line() -> None:
    fields = headers(b"Name: a\nRequires-Dist: b\nRequires-Dist: c ; extra == 'x'\n\nRequires-Dist: d\n")
    assert fields == {"name": ["a"], "requires-dist": ["b", "c ; extra == 'x'"]}


def test_folded_lines_go_on() -> None:
    fields = headers(b"LICENSE: The\r\n        Text\r\n\tof it\r\nversion : 1\r\n\r\nbody: no\r\n")
    assert fields == {"license": ["The\nText\nof it"], "version": ["1"]}


@pytest.mark.parametrize("data", [b"", b"\n", b"nothing\n", b": x\n", b"\xff\xfe: x", b" folded\n"])
def test_what_has_no_fields_has_none(data: bytes) -> None:
    assert headers(data) == {}


@given(st.binary())
def test_no_bytes_break_it(data: bytes) -> None:
    for name, values in headers(data).items():
        assert name == name.lower()
        assert values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("License-Expression: MIT\nLicense: BSD", "MIT"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License", "MIT License"),
        ("License: Long\n text\nClassifier: License :: OSI Approved", "Long"),
        ("Classifier: License :: OSI Approved :: A\nClassifier: License :: B", "A AND B"),
        ("License: " + "x" * 300, "x" * 200),
        ("License: none", None),
        ("Name: a", None),
    ],
)
def test_licence(text: str, said: str | None) -> None:
    assert licence(headers(text.encode())) == said


OLD = """
one>=1
# a comment
two @ https://index.example/two.zip

[:python_version < "3.8"]
three

[extra]
four[x]>=2

[extra:sys_platform == "win32" or os_name == "nt"]
five @ https://index.example/five.zip
"""


def test_old_requirements_read_as_the_standard_library_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "old.egg-info"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 1\n")
    (folder / "requires.txt").write_text(OLD)
    (folder / "SOURCES.txt").write_text("")
    wanted = [line for line in PathDistribution(folder).requires or [] if not line.startswith("#")]
    assert [line.split() for line in old_requirements(OLD)] == [line.split() for line in wanted]
