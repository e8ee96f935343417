"""What the shim makes of what engines say, and of the groups that they put containers into."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from djed.run.shim import cgroup, engine

NOT_FOUND, DENIED = os.strerror(2), os.strerror(13)


CREATE = 'OCI runtime create failed: exec: "x": stat x: no such file or directory'
CRUN = "executable file `x` not found in $PATH: No such file or directory"


@pytest.mark.parametrize(
    ("said", "code", "expected"),
    [
        ("", 1, None),
        ("Error: something of the command's own", 1, None),
        (f"Error: runc: {CREATE}: OCI runtime attempted to invoke a command", 127, (NOT_FOUND, True)),
        (f"Error: crun: {CRUN}: OCI runtime attempted to invoke a command", 127, (NOT_FOUND, True)),
        ("Error: crun: open executable: Permission denied: exec: permission denied", 126, (DENIED, True)),
        (f"docker: Error response from daemon: {CREATE}: unknown.", 127, (NOT_FOUND, True)),
        (
            "docker: Error response from daemon: No such image: x.\nSee 'docker run --help'.",
            125,
            ("No such image: x.", False),
        ),
        ("[FATAL tini (6)] exec ./s failed: No such file or directory", 127, (NOT_FOUND, True)),
        ("[FATAL tini (6)] exec ./s failed: Permission denied", 126, (DENIED, True)),
        (
            "running container: creating process: failed to load /x: no such file or directory",
            128,
            (NOT_FOUND, True),
        ),
        ("sh: 1: x: not found", 127, None),
    ],
)
def test_why_a_command_never_ran(said: str, code: int, expected: tuple[str, bool] | None) -> None:
    assert engine.complaint(said, code) == expected


class Group:
    def __init__(self, *pids: int) -> None:
        self.pids = pids

    def processes(self) -> tuple[int, ...]:
        return self.pids


def test_the_beginning_is_the_first_process_that_is_not_the_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = engine.Begin(Group(2**22 + 1))
    assert not begin.look()
    assert begin.moment is None, "nobody was there"
    begin = engine.Begin(Group(os.getpid()))
    monkeypatch.setattr(engine, "RUNTIMES", (Path("/proc/self/comm").read_text().strip(),))
    assert not begin.look()
    assert begin.moment is not None
    monkeypatch.setattr(engine, "RUNTIMES", ("runc",))
    assert begin.look()
    assert begin.first == os.getpid()


def test_the_command_goes_into_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine.write_bundle({"bundle": {"process": {"args": ["/djed/init", "--"]}}, "command": ["x", "a b"]})
    assert json.loads((tmp_path / "config.json").read_text())["process"]["args"] == [
        "/djed/init",
        "--",
        "x",
        "a b",
    ]


def test_limits_of_one_process_never_hold_an_engine() -> None:
    group = cgroup.Group()
    group.rlimits |= {resource.RLIMIT_AS: 1, resource.RLIMIT_NPROC: 2, resource.RLIMIT_FSIZE: 3}
    engine.hold({"speaks": "engine"}, group)
    assert set(group.rlimits) == {resource.RLIMIT_CORE, resource.RLIMIT_FSIZE}
    assert group.enforced == {"memory": "engine", "processes": "engine"}


def test_use_is_that_of_the_group() -> None:
    class Used(cgroup.Group):  # type: ignore[misc, name-defined, unused-ignore]
        def times(self) -> tuple[float, float]:
            return 1.5, 0.25

        def peak_memory(self) -> int:
            return 4096

    assert engine.usage(Used()) == {"ru_utime": 1.5, "ru_stime": 0.25, "ru_maxrss": 4}
    assert engine.usage(cgroup.Group()) == {}
