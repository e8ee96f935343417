"""What ``djed doctor`` says is present."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from djed.config import Config
from djed.errors import MissingPartError
from djed.model.hardware import Interpreter
from djed.toolbox import parts as parts_module
from djed.toolbox.parts import Part, find_uv, parts


def tool(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data=tmp_path / "data", uv=tool(tmp_path, "uv", "echo uv 0.13.8 '(abc 2026-01-01)'"))


def named(found: tuple[Part, ...], name: str) -> Part:
    (part,) = (part for part in found if part.name == name)
    return part


def looked(config: Config, root: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> tuple[Part, ...]:
    monkeypatch.setenv("PATH", str(root))
    return parts(config, root=root, **given)


def test_uv_has_its_version_and_place(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = named(looked(config, tmp_path, monkeypatch), "uv")
    assert (part.present, part.version, part.detail) == (True, "0.13.8", config.uv)


def test_missing_parts_say_what_follows(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = looked(replace(config, uv="nowhere"), tmp_path, monkeypatch, interpreters=())
    missing = {part.name for part in found if not part.present}
    assert missing >= {"uv", "bubblewrap", "user namespaces", "cgroups", "pythons", "inotify", "nvidia"}
    assert all(part.meaning.endswith(".") for part in found)
    assert "a script can read your files" in named(found, "bubblewrap").meaning


def test_bubblewrap_that_may_not_work_is_missing(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(
        tmp_path,
        "bwrap",
        'case $1 in --version) echo bubblewrap 0.8.0;; *) echo "no permissions" >&2; exit 1;; esac',
    )
    part = named(looked(config, tmp_path, monkeypatch), "bubblewrap")
    assert (part.present, part.detail) == (False, "no permissions")


def test_bubblewrap_that_works(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "bwrap", "echo bubblewrap 0.8.0")
    part = named(looked(config, tmp_path, monkeypatch), "bubblewrap")
    assert (part.present, part.version) == (True, "0.8.0")


@pytest.mark.parametrize(
    ("files", "version"),
    [
        (["sys/fs/cgroup/memory/tasks", "sys/fs/cgroup/pids/tasks"], "1"),
        (["sys/fs/cgroup/cgroup.controllers", "sys/fs/cgroup/user/x"], "2"),
    ],
)
def test_cgroups(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], version: str
) -> None:
    for name in [*files, "proc/self/cgroup"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0::/user\n")
    part = named(looked(config, tmp_path, monkeypatch), "cgroups")
    assert (part.present, part.version) == (True, version)


def test_sqlite_with_the_bug_is_not_present(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old:
        __name__ = "sqlite3"
        sqlite_version = "3.40.1"
        sqlite_version_info = (3, 40, 1)

    monkeypatch.setattr(parts_module, "sqlite_driver", Old)
    part = named(looked(config, tmp_path, monkeypatch), "sqlite")
    assert (part.present, part.version) == (False, "3.40.1")
    assert "rollback journal" in part.meaning


def test_pythons_are_listed_once_each(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pythons = [
        Interpreter(path=f"/{n}", version=version, prefix="/")
        for n, version in enumerate(["3.13.0", "3.9.1", "3.9.1"])
    ]
    assert (
        named(looked(config, tmp_path, monkeypatch, interpreters=pythons), "pythons").detail
        == "3.13.0, 3.9.1"
    )


def test_nvidia_driver(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "proc/driver/nvidia/version"
    path.parent.mkdir(parents=True)
    path.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n")
    part = named(looked(config, tmp_path, monkeypatch), "nvidia")
    assert (part.present, part.version) == (True, "550.54.15")


def test_little_space_is_told(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "LEAST_SPACE", 2**70)
    part = named(looked(config, tmp_path, monkeypatch), "disk")
    assert not part.present
    assert str(config.data) in (part.detail or "")


def test_uv_by_setting_then_beside_us_then_on_the_path(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_uv(config) == config.uv

    def nothing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", nothing)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_uv(replace(config, uv=None)) == str(tmp_path / "uv")


def test_no_uv_is_a_missing_part(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(MissingPartError, match="'nowhere', which cannot be executed"):
        find_uv(replace(config, uv="nowhere"))
