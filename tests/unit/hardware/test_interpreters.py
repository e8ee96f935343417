"""Finding Pythons: each is asked for itself, and lies are not believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.errors import ToolError
from djed.run import interpreters
from djed.run.interpreters import find_interpreters, parse_answer, parse_uv_list


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def answer(
    path: object, prefix: object, version: list[Any], implementation: str = "cpython", flags: str = ""
) -> str:
    return json.dumps([str(path), str(prefix), version, implementation, flags])


class Machine:
    """A home, a PATH, a uv and Pythons that are shell scripts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.listed: list[dict[str, Any]] = []
        self.asked = root / "asked"

    def python(self, name: str, version: list[Any], *, says: Path | None = None, listed: bool = True) -> Path:
        path = self.root / name
        reply = answer(says or path, path.parent.parent, version)
        executable(path, f"echo {name} >> {self.asked}\necho '{reply}'")
        if listed:
            self.listed.append({"path": str(path), "implementation": "cpython"})
        return path

    def uv(self) -> str:
        rows = json.dumps(self.listed)
        return str(executable(self.root / "tools/uv", f"echo warning: noise >&2\ncat <<'END'\n{rows}\nEND"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(interpreters, "SYSTEM_PLACES", ())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Machine(tmp_path)


FINAL = ["final", 0]


def test_newest_first_and_each_once(machine: Machine) -> None:
    old = machine.python("a/bin/python3.9", [3, 9, 1, *FINAL])
    new = machine.python("b/bin/python3.13", [3, 13, 0, *FINAL])
    link = machine.root / "c/python3"
    link.parent.mkdir()
    link.symlink_to(new)
    machine.listed.append({"path": str(link), "implementation": "cpython"})
    found = find_interpreters(machine.uv())
    assert [(one.path, one.version, one.prefix) for one in found] == [
        (str(new), "3.13.0", str(machine.root / "b")),
        (str(old), "3.9.1", str(machine.root / "a")),
    ]


def test_shim_stands_for_the_python_behind_it(machine: Machine) -> None:
    real = machine.python("v/bin/python3.11", [3, 11, 7, *FINAL], listed=False)
    machine.python("shims/python3.11", [3, 11, 7, *FINAL], says=real)
    assert [one.path for one in find_interpreters(machine.uv())] == [str(real)]


def test_looks_where_uv_does_not(machine: Machine) -> None:
    path = machine.python("home/.pyenv/versions/3.12.1/bin/python3.12", [3, 12, 1, *FINAL], listed=False)
    assert [one.path for one in find_interpreters(machine.uv())] == [str(path)]


@pytest.mark.parametrize("extra", ["opt/x", "opt/x/bin", "opt", "opt/x/bin/python3.10"])
def test_further_folders_and_executables(machine: Machine, extra: str) -> None:
    path = machine.python("opt/x/bin/python3.10", [3, 10, 0, *FINAL], listed=False)
    assert [one.path for one in find_interpreters(machine.uv(), [str(machine.root / extra)])] == [str(path)]


def test_environments_are_no_pythons(machine: Machine) -> None:
    path = machine.python("env/bin/python3.10", [3, 10, 0, *FINAL])
    (path.parent.parent / "pyvenv.cfg").write_text("home = elsewhere\n")
    assert find_interpreters(machine.uv()) == ()


@pytest.mark.parametrize(
    "script",
    ["exit 127", "echo nonsense", "echo '[1, 2, 3, 4, 5]'", "kill -9 $$", "head -c 100000 /dev/zero"],
)
def test_broken_ones_are_left_out(machine: Machine, script: str) -> None:
    good = machine.python("good/bin/python3.12", [3, 12, 1, *FINAL])
    broken = executable(machine.root / "bad/bin/python3.12", script)
    machine.listed.insert(0, {"path": str(broken), "implementation": "cpython"})
    assert [one.path for one in find_interpreters(machine.uv())] == [str(good)]


def test_one_that_hangs_is_left_out(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "_PATIENCE", 0.05)
    hanging = executable(machine.root / "bad/bin/python3.12", "exec sleep 100")
    machine.listed.append({"path": str(hanging), "implementation": "cpython"})
    assert find_interpreters(machine.uv()) == ()


def test_uv_that_fails_does_not_hide_other_pythons(machine: Machine) -> None:
    path = machine.python("home/.pyenv/versions/3.12.1/bin/python3.12", [3, 12, 1, *FINAL], listed=False)
    broken = executable(machine.root / "tools/uv", "exit 2")
    assert [one.path for one in find_interpreters(str(broken))] == [str(path)]


def test_second_search_asks_nobody(machine: Machine) -> None:
    machine.python("a/bin/python3.9", [3, 9, 1, *FINAL])
    uv, memory = machine.uv(), machine.root / "data/pythons.json"
    first = find_interpreters(uv, memory=memory)
    machine.asked.unlink()
    assert find_interpreters(uv, memory=memory) == first
    assert not machine.asked.exists()


def test_a_python_that_changed_is_asked_again(machine: Machine) -> None:
    machine.python("a/bin/python3.9", [3, 9, 1, *FINAL])
    uv, memory = machine.uv(), machine.root / "pythons.json"
    find_interpreters(uv, memory=memory)
    machine.python("a/bin/python3.9", [3, 9, 18, *FINAL], listed=False)
    assert [one.version for one in find_interpreters(uv, memory=memory)] == ["3.9.18"]


def test_a_new_python_is_found(machine: Machine) -> None:
    machine.python("home/.pyenv/versions/3.9.1/bin/python3.9", [3, 9, 1, *FINAL], listed=False)
    uv, memory = machine.uv(), machine.root / "pythons.json"
    find_interpreters(uv, memory=memory)
    machine.python("home/.pyenv/versions/3.12.1/bin/python3.12", [3, 12, 1, *FINAL], listed=False)
    assert [one.version for one in find_interpreters(uv, memory=memory)] == ["3.12.1", "3.9.1"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"places": 1, "stamps": {"a": "b"}, "interpreters": 3}', "\x00"]
)
def test_damaged_memory_is_searched_again(machine: Machine, text: str) -> None:
    machine.python("a/bin/python3.9", [3, 9, 1, *FINAL])
    memory = machine.root / "pythons.json"
    memory.write_text(text)
    assert len(find_interpreters(machine.uv(), memory=memory)) == 1


def test_uv_list() -> None:
    rows = [
        {"path": "/a", "implementation": "cpython"},
        {"path": "/b", "implementation": "pypy"},
        {"path": None, "implementation": "cpython"},
    ]
    assert parse_uv_list(json.dumps(rows).encode()) == ("/a",)


@pytest.mark.parametrize("output", [b"", b"{}x", b"[1]", b"null", b'[{"key": 1}]'])
def test_uv_list_that_is_none(output: bytes) -> None:
    with pytest.raises(ToolError):
        parse_uv_list(output)


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ([3, 14, 0, "candidate", 2], "3.14.0rc2"),
        ([3, 14, 0, "alpha", 1], "3.14.0a1"),
        ([3, 7, 16, *FINAL], "3.7.16"),
    ],
)
def test_versions(version: list[Any], text: str) -> None:
    found = parse_answer(answer("/p", "/", version).encode())
    assert found is not None
    assert found[1].version == text


def test_release_is_newer_than_its_candidates() -> None:
    levels = ["alpha", "beta", "candidate", "final"]
    answers = [parse_answer(answer("/p", "/", [3, 14, 0, level, 1]).encode()) for level in levels]
    keys = [one[0] for one in answers if one]
    assert keys == sorted(keys)
    assert len(keys) == 4


@pytest.mark.parametrize(
    "text",
    [
        answer("/p", "/", [3, 6, 15, *FINAL]),
        answer("/p", "/", [2, 7, 18, *FINAL]),
        answer("/p", "/", [3, 11, 7, *FINAL], "pypy"),
        answer("/p", "/", [3, 13, 0, *FINAL], flags="t"),
        answer("relative/python", "/", [3, 11, 7, *FINAL]),
        answer("/p", "relative", [3, 11, 7, *FINAL]),
        answer("/p", "/", [3, 11, "7; rm", *FINAL]),
        answer("/p", "/", [3, 11, 7, "unheard of", 1]),
    ],
)
def test_unusable_answers(text: str) -> None:
    assert parse_answer(text.encode()) is None


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",0123 abc', max_size=60).map(str.encode))
def test_no_answer_crashes(output: bytes) -> None:
    assert parse_answer(output) is None
