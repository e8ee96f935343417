"""The parsers of foreign formats, on anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from djed.intake import pipfile, pylock, pyproject, requirements
from djed.intake.document import tidy
from djed.intake.faults import UnreadableError
from djed.intake.source import Fragment, Source
from djed.intake.specifications import check_requirement

KEYS = st.sampled_from([
    "project", "dependencies", "optional-dependencies", "name", "dynamic", "tool", "uv", "index", "sources", "url", "default",
    "packages", "source", "requires", "version", "extras", "markers", "python_version", "git", "a",
    "lock-version", "created-by", "wheels", "sdist", "hashes", "sha256", "marker", "requires-python",
])  # fmt: skip
VALUES = st.recursive(
    st.booleans()
    | st.integers(0, 9)
    | st.sampled_from(["*", "==1.0", "1.0", "a", "a[b]", "https://index.example/a-1.whl"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,4}", fullmatch=True)
REQUIREMENTS = st.builds(
    lambda name, extras, specifier, marker: (
        name + (f"[{','.join(extras)}]" if extras else "") + specifier + marker
    ),
    NAMES,
    st.lists(NAMES, max_size=2),
    st.sampled_from(["", "==1.0", ">=1,<2", "~=1.4.2", "!=3.*", ">=1.0rc1"]),
    st.sampled_from(["", " ; python_version > '3'", " ; os_name == 'posix' and extra == 'a'"]),
)
LAYOUTS = st.sampled_from(["{}\n", "  {}  # why\n", "\n{}\n", "# {0}\n{0}\n", "{} \\\n\n", "{}\r\n"])


def source(name: str, text: str, complaints: list[str]) -> Source:
    return Source(
        name=name,
        text=text,
        complain=lambda message, **_: complaints.append(message),
        open=lambda _: source(name, "", complaints),
        check=check_requirement,
    )


def toml(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize("parse", [pipfile.parse, pyproject.parse, pylock.parse])
@given(data=st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_toml_gives_plain_values_or_complaints(
    parse: Callable[[Source], Fragment], data: dict[str, Any]
) -> None:
    complaints: list[str] = []
    text = "".join(f"{key} = {toml(value)}\n" for key, value in data.items())
    fragment = parse(source("file.toml", text, complaints))
    assert tidy(fragment) == fragment
    assert fragment or complaints


@given(st.text("[]{}=\"'.,#\n a1", max_size=30))
def test_any_text_is_toml_or_unreadable(text: str) -> None:
    complaints: list[str] = []
    with suppress(UnreadableError):
        pyproject.parse(source("pyproject.toml", text, complaints))
        assert complaints == ["there is no [project] table"]


@given(st.lists(st.tuples(REQUIREMENTS, LAYOUTS), max_size=6))
def test_requirements_come_back_as_they_were_written(written: list[tuple[str, str]]) -> None:
    complaints: list[str] = []
    text = "".join(layout.format(requirement) for requirement, layout in written)
    found = requirements.parse(source("requirements.txt", text, complaints))["packages"]
    assert [Requirement(requirement) for requirement in found] == [Requirement(text) for text, _ in written]
    assert not complaints


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(["1.0", "2!1.0.post1"]), st.integers(1, 3)), min_size=1, max_size=4
    )
)
def test_hashed_requirements_come_back_as_a_lock(pins: list[tuple[str, str, int]]) -> None:
    complaints: list[str] = []
    text = "".join(
        f"{name}=={version}" + " \\\n  --hash=sha256:ab" * count + "\n" for name, version, count in pins
    )
    lock = requirements.parse(source("requirements.txt", text, complaints))["lock"]
    found = [(package["name"], package["version"], len(package["hashes"])) for package in lock["packages"]]
    assert sorted(found) == sorted(pins)
    assert not complaints
