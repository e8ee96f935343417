"""Pipfile and Pipfile.lock."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.intake import Submission, pipfile
from djed.intake.source import Source
from djed.intake.specifications import check_requirement
from djed.model.request import Index

Fold = Callable[..., Submission]
Messages = Callable[..., list[str]]
HASH = "sha256:" + "ab" * 32
PIPFILE = """\
[[source]]
name = "main"
url = "https://index.example/simple"
verify_ssl = true

[[source]]
name = "other"
url = "https://other.example/simple"

[packages]
numpy = "*"
"b.b" = ">=1,<2"
c = {version = "==1.0", extras = ["x", "y"], index = "other", markers = "python_version > '3'"}
d = {version = "*", sys_platform = "== 'linux'"}

[dev-packages]
pytest = "*"

[requires]
python_version = "3.11"
"""
LOCK: dict[str, Any] = {
    "_meta": {
        "sources": [
            {"name": "main", "url": "https://index.example/simple", "verify_ssl": True},
            {"name": "other", "url": "https://other.example/simple"},
        ],
        "requires": {"python_version": "3.11"},
    },
    "default": {
        "C_c": {"version": "==1.0", "hashes": [HASH], "index": "other", "markers": "python_version > '3'"},
        "a": {"version": "==2", "hashes": [HASH], "extras": ["x"], "index": "main"},
    },
    "develop": {"pytest": {"version": "==9", "hashes": []}},
}


def test_a_pipfile_becomes_packages_and_indexes(fold: Fold) -> None:
    environment = fold("Pipfile", {"Pipfile": PIPFILE}).request.environment
    assert environment.packages == (
        "numpy", "b.b>=1,<2", "c[x,y]==1.0; (python_version > '3')", "d; (sys_platform == 'linux')",
    )  # fmt: skip
    assert environment.indexes == (
        Index(name="main", url="https://index.example/simple"),
        Index(name="other", url="https://other.example/simple", packages=("c",)),
    )
    assert environment.python == "3.11"


def test_the_request_itself_chooses_the_python(fold: Fold) -> None:
    assert fold("Pipfile", {"Pipfile": PIPFILE}, python="3.13").request.environment.python == "3.13"


def test_a_pipfile_lock_becomes_a_lock(fold: Fold) -> None:
    environment = fold("Pipfile.lock", {"Pipfile.lock": json.dumps(LOCK)}).request.environment
    assert environment.lock is not None
    first, second = environment.lock.packages
    assert (first.name, first.version, first.extras, first.index, first.hashes) == (
        "a",
        "2",
        ("x",),
        None,
        (HASH,),
    )
    assert (second.name, second.marker, second.index) == ("c-c", "python_version > '3'", "other")
    assert [index.packages for index in environment.indexes] == [(), ("c-c",)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[packages]\na = {git = 'https://index.example/a'}",
            "comes from a place that is not an index (git)",
        ),
        ("[packages]\na = {path = '.', editable = true}", "comes from a place that is not an index (path)"),
        ("[packages]\na = 3", "Pipfile: version must be text"),
        ("[packages]\na = {version = '*', index = 'x'}", "which is no source"),
        ("[packages]\na = 'x y'", "Pipfile: packages[0]: "),
        ("[[source]]\nname = 'a'\nurl = 'https://index.example'\nverify_ssl = false", "verify_ssl = false"),
        ("[[source]]\nname = 'a'\nurl = 'http://127.0.0.1'", "Pipfile: indexes[0].url: "),
        ("packages = 3", "Pipfile: packages must be a table"),
        ("a = =\n", "Pipfile:1: this is not TOML"),
    ],
)
def test_a_bad_pipfile_is_a_sentence(fold_faults: Messages, text: str, message: str) -> None:
    (found,) = fold_faults("Pipfile", {"Pipfile": text})
    assert message in found


@pytest.mark.parametrize(
    ("default", "message"),
    [
        ({"a": {"version": "==1"}}, '"a" has no hash'),
        ({"a": {"hashes": [HASH], "version": "*"}}, '"a" has no exact version'),
        ({"a": {"hashes": [HASH], "git": "x"}}, "not an index (git)"),
        ({"a": {"hashes": ["md5:00"], "version": "==1"}}, "lock.packages[0].hashes[0]: "),
        ({"a": []}, '"a" must be a table'),
        ([], "default must be a table"),
    ],
)
def test_a_bad_pipfile_lock_is_a_sentence(fold_faults: Messages, default: object, message: str) -> None:
    found = fold_faults("Pipfile.lock", {"Pipfile.lock": json.dumps({"default": default})})
    assert message in found[0]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["default", "_meta", "sources", "requires", "a", "version", "index", "name", "url"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    )
)
def test_any_json_is_a_pipfile_lock_or_refused(data: object) -> None:
    complaints: list[str] = []
    source = Source(
        name="Pipfile.lock",
        text=json.dumps(data),
        complain=lambda message, **_: complaints.append(message),
        open=lambda _: source,
        check=check_requirement,
    )
    fragment = pipfile.parse_lock(source)
    assert "lock" in fragment or complaints
