"""What podman and Docker are told of a job, word by word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from djed.errors import RunnerError
from djed.model.engine import ContainerEngine
from djed.model.job import Limits
from djed.run import container
from djed.run.docker_image import Loaded
from djed.run.sandbox import Bind, Inside, Sandbox

PODMAN = ContainerEngine(
    name="podman",
    version="5.0",
    path="/usr/bin/podman",
    runs=True,
    runtime="crun 1.14",
    features=("passthrough", "cgroup", "cpuset"),
)
DOCKER = ContainerEngine(
    name="docker", version="27.0", path="/usr/bin/docker", runs=True, variables={"DOCKER_HOST": "unix:///x"}
)
IMAGE = Loaded(name="djed-0", variables=frozenset({"LD_PRELOAD", "PATH"}))


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "init", lambda: "/usr/bin/tini-static")


def _inside(**more: object) -> Inside:
    given: dict[str, object] = {
        "binds": (),
        "root": "/images/i/root",
        "name": "djed-a-1",
        "work": "/djed/work",
        "memory_disk": 1000,
    }
    return Inside(**(given | more))  # type: ignore[arg-type]


def _pairs(argv: list[str], option: str) -> list[str]:
    return [argv[place + 1] for place, word in enumerate(argv) if word == option]


def test_a_container_has_nothing_that_it_was_not_given() -> None:
    for argv in (container.podman(PODMAN, _inside(), ()), container.docker(DOCKER, _inside(), (), IMAGE)):
        assert _pairs(argv, "--network") == ["none"]
        assert _pairs(argv, "--cap-drop") == ["ALL"]
        assert _pairs(argv, "--security-opt") == ["no-new-privileges", "label=disable"]
        assert {"--rm", "--read-only"} <= set(argv)
        assert _pairs(argv, "--name") == ["djed-a-1"]
        assert not {"--privileged", "--cap-add", "--pid", "--ipc", "-v", "--volume"} & set(argv)
        assert [part.partition(":")[0] for part in _pairs(argv, "--tmpfs")] == ["/tmp", "/var/tmp"]
        assert all("size=1000" in part and "nosuid" in part for part in _pairs(argv, "--tmpfs"))


def test_the_network_is_the_machines_where_it_is_asked_for() -> None:
    assert _pairs(container.podman(PODMAN, _inside(network=True), ()), "--network") == ["host"]


def test_podman_takes_the_root_where_it_lies_and_writes_beside_it() -> None:
    argv = container.podman(PODMAN, _inside(), ())
    assert argv[-2:] == ["--rootfs", "/images/i/root:O"]
    assert _pairs(argv, "--log-driver") == ["passthrough"]


def test_podman_as_root_makes_the_jobs_user_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "getgid", lambda: 0)
    engine = ContainerEngine(name="podman", version="5", path="/p", features=("user namespace",))
    argv = container.podman(engine, _inside(), ())
    assert "65534:0:1" in _pairs(argv, "--uidmap")
    assert _pairs(argv, "--user") == ["65534:65534"]
    rootless = ContainerEngine(name="podman", version="5", path="/p", rootless=True)
    assert _pairs(container.podman(rootless, _inside(), ()), "--user") == ["0:0"]


def test_a_path_with_a_comma_or_a_quote_is_one_path() -> None:
    binds = (Bind(source='/a,b"c', target="/djed/x"), Bind(source="/w", target="/djed/work", writable=True))
    mounts = _pairs(container.podman(PODMAN, _inside(), binds), "--mount")
    assert mounts[0] == 'type=bind,"source=/a,b""c",target=/djed/x,readonly'
    assert mounts[1] == "type=bind,source=/w,target=/djed/work"
    assert mounts[2] == "type=bind,source=/usr/bin/tini-static,target=/djed/init,readonly"


def test_devices_are_handed_in_as_devices() -> None:
    binds = (
        Bind(source="/dev/nvidia0", target="/dev/nvidia0", writable=True, device=True),
        Bind(source="/sys", target="/sys"),
    )
    argv = container.podman(PODMAN, _inside(), binds)
    assert _pairs(argv, "--device") == ["/dev/nvidia0"]
    assert len(_pairs(argv, "--mount")) == 1, "an engine brings its own /sys"


def test_variables_of_the_image_are_taken_away() -> None:
    argv = container.docker(DOCKER, _inside(variables={"PATH": "/bin", "A": "=b c"}), (), IMAGE)
    assert _pairs(argv, "--env") == ["PATH=/bin", "A==b c", "LD_PRELOAD"]
    assert argv[-3:] == ["--entrypoint", "", "djed-0"]
    assert _pairs(argv, "--pull") == ["never"]


def test_limits_are_the_groups_where_there_is_one_and_else_the_engines() -> None:
    limits = Limits(memory=2**20, processes=7, cpu=0.5)
    held = container.podman(PODMAN, _inside(limits=limits, cpus=(1, 3)), ())
    assert container.GROUP in held
    assert _pairs(held, "--cpuset-cpus") == ["1,3"]
    assert not {"--memory", "--cpus"} & set(held)
    own = container.docker(DOCKER, _inside(limits=limits, cpus=(1, 3)), (), IMAGE)
    assert container.GROUP not in own
    assert (_pairs(own, "--memory"), _pairs(own, "--memory-swap")) == (["1048576"], ["1048576"])
    assert (_pairs(own, "--pids-limit"), _pairs(own, "--cpus")) == (["7"], ["0.5"])


def test_the_result_will_name_engine_and_runtime() -> None:
    made = container.sandbox(PODMAN)
    assert (made.level, made.tool, made.needs_image) == ("container", "podman 5.0, crun 1.14", True)
    assert container.sandbox(DOCKER).tool == "docker 27.0"


def test_the_wrap_ends_with_the_first_process_and_can_be_cleared(tmp_path: Path) -> None:
    made = container.wrap(container.sandbox(PODMAN), _inside(), tmp_path)
    assert made.argv[-2:] == ("/djed/init", "--")
    assert made.after == (("/usr/bin/podman", "rm", "--force", "--ignore", "djed-a-1"),)
    assert made.speaks == "engine"


def test_a_job_without_an_image_is_none_for_a_container(tmp_path: Path) -> None:
    for level in (container.sandbox(PODMAN), Sandbox(level="container")):
        with pytest.raises(RunnerError, match="needs an engine and an image"):
            container.wrap(level, _inside(root=None), tmp_path)


def test_an_engines_program_gets_what_it_needs_and_no_secret() -> None:
    environ = {
        "HOME": "/root",
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "x",
        "LD_PRELOAD": "y",
        "XDG_RUNTIME_DIR": "/run/user/0",
        "LANG": "",
    }
    told = container.environment(DOCKER, environ)
    assert told == {
        "HOME": "/root",
        "PATH": "/bin",
        "XDG_RUNTIME_DIR": "/run/user/0",
        "DOCKER_HOST": "unix:///x",
    }
