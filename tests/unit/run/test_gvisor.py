"""The configuration that runsc is given, and what is remembered of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from djed.run import container, gvisor
from djed.run.sandbox import Bind, Inside, Sandbox, Wrap

RUNSC = Sandbox(
    level="gvisor",
    tool="runsc 1",
    path="/usr/bin/runsc",
    arguments=("--platform=systrap", "--ignore-cgroups"),
)


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "init", lambda: "/usr/bin/tini-static")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image's root."""
    root = tmp_path / "image/root"
    for name in ("usr/bin", "etc", "var/tmp", "tmp", "proc", "dev", "sys", "run", "djed", "opt"):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "file").touch()
    return root


def _wrap(data: Path, **more: Any) -> Wrap:
    given: dict[str, Any] = {"binds": (), "name": "djed-a-1", "work": "/djed/work", "memory_disk": 1000}
    return gvisor.wrap(RUNSC, Inside(**(given | more)), data / "etc")


def _mounts(made: Wrap) -> dict[str, dict[str, Any]]:
    assert made.bundle is not None
    return {mount["destination"]: mount for mount in made.bundle["mounts"]}


def test_the_folders_of_the_image_are_bound_one_by_one(data: Path, root: Path) -> None:
    made = _wrap(data, root=str(root))
    mounts = _mounts(made)
    for name in ("usr", "etc", "var", "opt"):
        assert mounts[f"/{name}"]["source"] == str(root / name)
        assert "ro" in mounts[f"/{name}"]["options"]
    assert not {"/djed", "/run", "/file", "/bin"} & mounts.keys()
    assert {path for path, mount in mounts.items() if mount["type"] == "tmpfs"} == {
        "/dev",
        "/tmp",
        "/var/tmp",
        "/dev/shm",
    }
    assert made.bundle is not None
    place = Path(made.bundle["root"]["path"])
    assert made.bundle["root"]["readonly"]
    assert (place / "bin").readlink() == Path("usr/bin")
    assert place.is_relative_to(data)


def test_roots_with_other_links_lie_elsewhere(data: Path, root: Path) -> None:
    one = _wrap(data, root=str(root)).bundle
    (root / "lib").symlink_to("usr/lib")
    other = _wrap(data, root=str(root)).bundle
    assert one is not None
    assert other is not None
    assert one["root"] != other["root"]


def test_a_mount_comes_before_what_lies_in_it(data: Path) -> None:
    binds = (
        Bind(source="/p", target="/djed/packages/deep"),
        Bind(source="/w", target="/djed/work", writable=True),
        Bind(source="/d", target="/djed"),
    )
    order = list(_mounts(_wrap(data, binds=binds)))
    assert order.index("/djed") < order.index("/djed/work") < order.index("/djed/packages/deep")


def test_the_job_has_no_right_and_no_network(data: Path) -> None:
    made = _wrap(data)
    assert made.bundle is not None
    process = made.bundle["process"]
    assert process["capabilities"] == {}
    assert process["noNewPrivileges"]
    assert process["args"] == ["/djed/init", "--"]
    assert "--network=none" in made.argv
    assert "--network=host" in _wrap(data, network=True).argv
    assert made.speaks == "runtime"


def test_it_is_asked_to_end_and_cleared_by_its_name(data: Path) -> None:
    made = _wrap(data)
    assert made.stop[-3:] == ("kill", "djed-a-1", "TERM")
    assert made.after[0][-3:] == ("delete", "--force", "djed-a-1")
    assert made.argv[-4:] == ("run", "--bundle", ".", "djed-a-1")


def test_nothing_is_remembered_of_what_nobody_looked_at(data: Path) -> None:
    assert gvisor.remembered(data) is None
    for text in ("", "[]", json.dumps({"key": 1, "tool": "x"})):
        (data / "gvisor.json").write_text(text)
        assert gvisor.remembered(data) is None


def test_without_runsc_there_is_no_level(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gvisor.probe(data) is None
    assert gvisor.remembered(data) is None
    assert (data / "gvisor.json").exists()
