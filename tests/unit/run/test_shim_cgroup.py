"""Limits by control groups of both versions, on a file system that only looks like them, and by rlimits without."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from djed.run.shim import cgroup

LIMITS: dict[str, Any] = {"cpu": 1.5, "memory": 1000, "processes": 10, "disk": 5000}


class FakeSystem:
    """Folders that behave like cgroupfs: a new one is filled with files, and a folder can be removed in spite of them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.proc = root / "proc"
        self.proc.mkdir()
        self.files: dict[str, str] = {}
        self.killed: list[int] = []
        monkeypatch.setattr(cgroup, "_make", self._make)
        monkeypatch.setattr(cgroup, "_remove", self._remove)
        monkeypatch.setattr(cgroup.os, "kill", lambda pid, _: self.killed.append(pid))

    def describe(self, cgroups: str, mounts: list[tuple[str, str, str, str]]) -> str:
        (self.proc / "cgroup").write_text(cgroups)
        lines = (
            f"1 1 0:1 {root} {self.root}/{point} rw,relatime - {kind} {kind} {options}\n"
            for root, point, kind, options in mounts
        )
        (self.proc / "mountinfo").write_text("".join(lines))
        return str(self.proc)

    def _make(self, path: str) -> bool:
        Path(path).mkdir()
        for name, text in self.files.items():
            Path(path, name).write_text(text)
        return True

    def _remove(self, path: str) -> None:
        for file in Path(path).iterdir():
            file.unlink()
        Path(path).rmdir()


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    return FakeSystem(tmp_path, monkeypatch)


def _text(*parts: object) -> str:
    return Path(*map(str, parts)).read_text().strip()


@pytest.fixture
def version2(system: FakeSystem) -> tuple[FakeSystem, str]:
    system.files = dict.fromkeys(
        ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max", "cgroup.procs"), ""
    )
    (system.root / "v2/app.slice/own.scope").mkdir(parents=True)
    proc = system.describe("0::/app.slice/own.scope\n", [("/", "v2", "cgroup2", "rw")])
    return system, proc


@pytest.fixture
def version1(system: FakeSystem) -> tuple[FakeSystem, str]:
    names = "memory.limit_in_bytes memory.memsw.limit_in_bytes pids.max cpu.cfs_period_us cpu.cfs_quota_us cgroup.procs tasks"
    system.files = dict.fromkeys(names.split(), "")
    for name in ("memory/own", "pids", "cpu"):
        (system.root / name).mkdir(parents=True)
    mounts = [("/", name, "cgroup", f"rw,{name}") for name in ("memory", "pids", "cpu")]
    proc = system.describe("3:memory:/own\n2:pids:/\n1:cpu:/\n0::/\n", mounts)
    return system, proc


def test_version_2_writes_each_limit_beside_our_own_group(version2: tuple[FakeSystem, str]) -> None:
    system, proc = version2
    group = cgroup.create("djed-a", LIMITS, [0, 1], proc)
    folder = system.root / "v2/app.slice/djed-a"
    assert _text(folder, "memory.max") == "1000"
    assert _text(folder, "memory.swap.max") == "0"
    assert _text(folder, "pids.max") == "12", "the two of bubblewrap are not the job's"
    assert _text(folder, "cpu.max") == "150000 100000"
    assert group.enforced == {
        "memory": "cgroup-v2",
        "processes": "cgroup-v2",
        "cpu": "affinity+cgroup-v2",
        "disk": "rlimit+watch",
    }
    assert resource.RLIMIT_AS not in group.rlimits


def test_version_2_reads_the_end(version2: tuple[FakeSystem, str]) -> None:
    system, proc = version2
    group = cgroup.create("djed-a", LIMITS, [], proc)
    folder = system.root / "v2/app.slice/djed-a"
    assert not group.out_of_memory()
    assert group.peak_memory() is None
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    (folder / "memory.peak").write_text("900\n")
    assert group.out_of_memory()
    assert group.peak_memory() == 900
    group.remove()
    assert not folder.exists()


def test_version_2_kills_at_once_where_the_kernel_can(version2: tuple[FakeSystem, str]) -> None:
    system, proc = version2
    system.files["cgroup.kill"] = ""
    cgroup.create("djed-a", LIMITS, [], proc).kill()
    assert _text(system.root, "v2/app.slice/djed-a/cgroup.kill") == "1"
    assert system.killed == []


def test_version_2_kills_one_by_one_where_it_cannot(version2: tuple[FakeSystem, str]) -> None:
    system, proc = version2
    group = cgroup.create("djed-a", LIMITS, [], proc)
    (system.root / "v2/app.slice/djed-a/cgroup.procs").write_text("11\n12\n")
    group.kill()
    assert system.killed == [11, 12]
    assert _text(system.root, "v2/app.slice/djed-a/pids.max") == "0", "none is born meanwhile"


def test_a_group_without_controllers_is_given_up(version2: tuple[FakeSystem, str]) -> None:
    system, proc = version2
    system.files = {"cgroup.procs": ""}
    group = cgroup.create("djed-a", LIMITS, [], proc)
    assert group.enforced["memory"] == "rlimit"
    assert not (system.root / "v2/app.slice/djed-a").exists()


def test_version_1_writes_each_limit_in_its_hierarchy(version1: tuple[FakeSystem, str]) -> None:
    system, proc = version1
    group = cgroup.create("djed-a", LIMITS, [], proc)
    assert _text(system.root, "memory/own/djed-a/memory.limit_in_bytes") == "1000"
    assert _text(system.root, "memory/own/djed-a/memory.memsw.limit_in_bytes") == "1000"
    assert _text(system.root, "pids/djed-a/pids.max") == "12"
    assert _text(system.root, "cpu/djed-a/cpu.cfs_quota_us") == "150000"
    assert group.enforced["cpu"] == "cgroup-v1"
    group.join()
    assert {_text(system.root, name, "djed-a/tasks") for name in ("memory/own", "pids", "cpu")} == {"0"}
    group.remove()
    assert not (system.root / "memory/own/djed-a").exists()


def test_version_1_makes_no_cpu_group_for_whole_cpus(version1: tuple[FakeSystem, str]) -> None:
    system, proc = version1
    group = cgroup.create("djed-a", LIMITS | {"cpu": 2}, [0, 1], proc)
    assert group.enforced["cpu"] == "affinity"
    assert not (system.root / "cpu/djed-a").exists()


@pytest.mark.parametrize(
    ("control", "failures", "expected"),
    [
        ("oom_kill 1\n", "0", True),
        ("oom_kill 0\n", "7", False),
        ("under_oom 0\n", "7", True),
        ("under_oom 0\n", "0", False),
    ],
)
def test_version_1_tells_a_kill_from_mere_pressure(
    version1: tuple[FakeSystem, str], control: str, failures: str, expected: bool
) -> None:
    system, proc = version1
    group = cgroup.create("djed-a", LIMITS, [], proc)
    folder = system.root / "memory/own/djed-a"
    (folder / "memory.oom_control").write_text(control)
    (folder / "memory.failcnt").write_text(failures)
    assert group.out_of_memory() is expected


def test_leftovers_are_removed_by_name(version1: tuple[FakeSystem, str]) -> None:
    system, proc = version1
    cgroup.create("djed-a", LIMITS, [], proc)
    cgroup.remove("djed-a", proc)
    assert not (system.root / "pids/djed-a").exists()
    assert not (system.root / "memory/own/djed-a").exists()


def test_who_is_left_in_a_group_is_killed_until_it_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.procs").write_text("21\n")
    answers = iter([OSError(errno.EBUSY, "busy"), OSError(errno.EBUSY, "busy"), None])
    killed: list[int] = []

    def rmdir(_: str) -> None:
        if (answer := next(answers)) is not None:
            raise answer

    monkeypatch.setattr(cgroup.os, "rmdir", rmdir)
    monkeypatch.setattr(cgroup.os, "kill", lambda pid, _: killed.append(pid))
    cgroup._remove(str(tmp_path))
    assert killed == [21, 21]
    assert next(answers, "asked no more") == "asked no more"


def test_without_groups_rlimits_hold(tmp_path: Path) -> None:
    group = cgroup.create("djed-a", LIMITS, [0], str(tmp_path))
    assert group.rlimits[resource.RLIMIT_AS] == 1000
    assert group.rlimits[resource.RLIMIT_FSIZE] == 5000
    assert group.rlimits[resource.RLIMIT_CORE] == 0
    assert group.rlimits[resource.RLIMIT_NPROC] > 12, "the user's other processes count too"
    assert group.enforced == {
        "cpu": "affinity",
        "disk": "rlimit+watch",
        "memory": "rlimit",
        "processes": "rlimit" if os.geteuid() else "none",
    }
