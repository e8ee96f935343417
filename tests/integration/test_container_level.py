"""What a container and gVisor hold a job to, what is measured of it, and that nothing is left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from djed.config import Config
from djed.errors import RefusedError
from djed.model.job import Attempt, InputFile, Job, Limits
from djed.model.request import SandboxLevel
from djed.model.result import Result
from djed.run.local import LocalRunner
from djed.testing.runner_contract import wait
from tests.support.containers import IMAGE, Images, looked, podman_containers
from tests.support.docker import Daemon, daemon

NAME = f"djed-level{os.getpid()}"
PODMAN = pytest.param("podman", marks=pytest.mark.needs("podman", "root", "cgroup"))
DOCKER = pytest.param("docker", marks=pytest.mark.needs("dockerd", "root", "cgroup"))
GVISOR = pytest.param("gvisor", marks=pytest.mark.needs("runsc", "root", "cgroup"))


@pytest.fixture(scope="module")
def docker() -> Iterator[Daemon]:
    """A daemon for the tests of this file."""
    with daemon() as running:
        yield running


class Bench:
    """A runner at one level, with one image."""

    def __init__(self, data: Path, images: Images, level: SandboxLevel) -> None:
        self.data = data
        self.home = data / "attempts"
        self.images = images
        self.level = level
        self.runner = LocalRunner(self.home, images, config=Config(data=data, sandbox_floor=level))

    def run(self, script: str, *, name: str = f"{NAME}-1", **more: Any) -> Result:
        """Run a shell script inside the image, to its end."""
        job = Job(kind="run", command=("/bin/sh", "-c", script), inside=True, image=IMAGE, **more)
        attempt = Attempt(name=name, job_id="level", number=1, job=job, node="local/n")
        handle = self.runner.submit(attempt)
        assert wait(self.runner, handle, 60).state == "over"
        return self.runner.collect(handle, self.home / name)

    def said(self, stream: str = "stdout", name: str = f"{NAME}-1") -> str:
        return (self.home / name / stream).read_text()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return Images(tmp_path_factory.mktemp("images"))


@pytest.fixture(params=[PODMAN, DOCKER, GVISOR])
def bench(
    request: pytest.FixtureRequest, data: Path, images: Images, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    return _bench(request.param, request, data, images, monkeypatch)


@pytest.fixture(params=[PODMAN, DOCKER])
def engine(
    request: pytest.FixtureRequest, data: Path, images: Images, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    return _bench(request.param, request, data, images, monkeypatch)


def _bench(
    name: str, request: pytest.FixtureRequest, data: Path, images: Images, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    if name == "docker":
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker").host)
    level: SandboxLevel = "gvisor" if name == "gvisor" else "container"
    looked(data, level, name if level == "container" else None)
    return Bench(data, images, level)


# --- What a job is held to -----------------------------------------------------------------------------------------------------------


def test_the_result_names_the_tool(bench: Bench) -> None:
    result = bench.run("true")
    assert (result.exit_code, result.error, result.sandbox) == (0, None, bench.level)
    assert result.sandbox_tool is not None
    assert result.sandbox_tool.startswith("runsc " if bench.level == "gvisor" else ("podman ", "docker "))
    assert bench.level == "gvisor" or ", runc 1" in result.sandbox_tool


def test_its_file_system_is_the_image_and_nobody_writes_in_it(bench: Bench) -> None:
    before = _listed(bench.images.folder)
    result = bench.run(
        "head -n1 /etc/os-release; echo x >/etc/x; echo x >/x; echo x >/djed/x; echo x >/tmp/x && cat /tmp/x"
    )
    assert result.exit_code == 0
    assert bench.said() == "ID=tiny\nx\n"
    assert _listed(bench.images.folder) == before, "the artifact is as it was"


def _listed(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


def test_it_has_no_network_no_rights_and_sees_no_other_process(bench: Bench) -> None:
    bench.run("cat /proc/self/status /proc/net/dev; for each in /proc/[0-9]*; do echo $each; done")
    said = bench.said()
    if bench.level == "container":
        assert "CapEff:\t0000000000000000" in said
        assert "CapBnd:\t0000000000000000" in said
        assert "NoNewPrivs:\t1" in said
        assert "Seccomp:\t2" in said
    assert "eth0" not in said
    assert len([line for line in said.splitlines() if line.startswith("/proc/")]) <= 4


@pytest.mark.needs("podman", "root", "cgroup")
def test_podman_gives_another_user_in_a_namespace(data: Path, images: Images) -> None:
    looked(data, "container", "podman")
    bench = Bench(data, images, "container")
    bench.run("id -u; cat /proc/self/uid_map")
    lines = [line.split() for line in bench.said().splitlines()]
    assert lines[0] == ["65534"]
    assert ["65534", "0", "1"] in lines[1:]


def test_what_it_leaves_is_ours_and_comes_home(bench: Bench) -> None:
    files = (InputFile(path="in/f.txt", text="given"),)
    result = bench.run(
        'cat in/f.txt; mkdir "$DJED_OUTPUTS/d"; echo out >"$DJED_OUTPUTS/d/f"; echo err >&2; exit 7',
        files=files,
    )
    assert result.exit_code == 7
    assert (bench.said(), bench.said("stderr")) == ("given", "err\n")
    left = bench.home / f"{NAME}-1/outputs/d/f"
    assert left.read_text() == "out\n"
    assert left.stat().st_uid == os.getuid()


def test_it_finds_exactly_the_variables_it_was_given(bench: Bench) -> None:
    bench.run("env", variables={"WORD": "a 'b' $c,\"d\"", "EMPTY": ""})
    found = dict(line.partition("=")[::2] for line in bench.said().splitlines())
    assert found["WORD"] == "a 'b' $c,\"d\""
    assert found["EMPTY"] == ""
    assert found["DJED_OUTPUTS"] == "/djed/outputs"
    assert set(found) <= {
        "WORD",
        "EMPTY",
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "DJED_OUTPUTS",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
    } | {
        "HOSTNAME",
        "container",
        "TERM",
    }


def test_secrets_are_files_inside_and_stars_outside(bench: Bench) -> None:
    bench.images.secrets["token"] = b"correct horse battery staple"
    result = bench.run(
        'cat "$DJED_SECRETS/token"; echo; cp "$DJED_SECRETS/token" "$DJED_OUTPUTS/copy"', secrets=("token",)
    )
    assert result.exit_code == 0, bench.said("stderr")
    assert bench.said() == "***\n"
    assert not (bench.home / f"{NAME}-1/outputs/copy").exists()
    assert not [path for path in Path("/dev/shm").iterdir() if path.name.startswith(f"{NAME}-1")]


# --- What is measured ----------------------------------------------------------------------------------------------------------------

BUSY = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done"


def test_time_and_memory_are_those_of_the_command(engine: Bench) -> None:
    result = engine.run(BUSY)
    assert result.exit_code == 0
    used = result.usage["ru_utime"] + result.usage["ru_stime"]
    assert 0.5 * result.duration < used < 1.2 * result.duration + 0.1
    assert result.peak_memory is not None
    assert 2**18 < result.peak_memory < 2**26, "of a shell, not of an engine"
    assert result.limits["processes"].startswith("cgroup")


def test_the_start_of_the_engine_is_not_the_commands_time(engine: Bench) -> None:
    result = engine.run("sleep 0.3")
    assert 0.28 < result.duration < 0.45


@pytest.mark.needs("runsc", "root", "cgroup")
def test_what_gvisor_uses_is_counted(data: Path, images: Images) -> None:
    looked(data, "gvisor")
    result = Bench(data, images, "gvisor").run(BUSY)
    assert result.usage["ru_utime"] > 0.05
    assert result.peak_memory is not None
    assert result.peak_memory > 2**20


def test_want_of_memory_is_told(bench: Bench) -> None:
    result = bench.run(
        "a=0123456789abcdef; while :; do a=$a$a; done", limits=Limits(memory=128 * 2**20, timeout=60)
    )
    assert result.out_of_memory
    assert not result.timed_out
    assert result.exit_code != 0
    assert result.limits["memory"].startswith("cgroup")


def test_processes_are_held(engine: Bench) -> None:
    script = "i=0; while [ $i -lt 40 ]; do sleep 20 & i=$((i+1)); done; echo all"
    result = engine.run(script, limits=Limits(processes=10, timeout=60))
    assert "all" not in engine.said()
    assert result.exit_code != 0


def test_cpus_are_held(engine: Bench) -> None:
    job = Job(
        kind="run",
        command=("/bin/sh", "-c", "grep Cpus_allowed_list /proc/self/status || cat /proc/self/status"),
        inside=True,
        image=IMAGE,
    )
    attempt = Attempt(name=f"{NAME}-2", job_id="level", number=1, job=job, node="local/n", cpus=(0,))
    handle = engine.runner.submit(attempt)
    wait(engine.runner, handle)
    result = engine.runner.collect(handle, engine.home / f"{NAME}-2")
    assert "Cpus_allowed_list:\t0\n" in engine.said(name=f"{NAME}-2")
    assert result.cpus == (0,)


def test_a_fraction_of_a_cpu_is_held(engine: Bench) -> None:
    started = time.monotonic()
    result = engine.run(BUSY, limits=Limits(cpu=0.25, timeout=60))
    assert time.monotonic() - started > 0.2
    assert result.usage["ru_utime"] + result.usage["ru_stime"] < 0.6 * result.duration


# --- What is left --------------------------------------------------------------------------------------------------------------------


def test_nothing_is_left(bench: Bench, request: pytest.FixtureRequest) -> None:
    bench.run("true", name=f"{NAME}-3")  # so that an image is loaded
    before = _left(bench, request)
    for number, script in enumerate(("true", "exit 3", "kill -9 $$", "no-such-program")):
        bench.run(script, name=f"{NAME}-4{number}")
    _settled(bench, request, before)


def _left(bench: Bench, request: pytest.FixtureRequest) -> dict[str, object]:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    places = (bench.data, bench.images.folder, NAME)
    found: dict[str, object] = {
        "mounts": [line for line in mounts if any(str(place) in line for place in places)],
        "podman": [name for name in podman_containers() if name.startswith(NAME)],
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{NAME}*")],
        "roots": sorted((bench.data / "gvisor/state").glob("*")),
    }
    if os.environ.get("DOCKER_HOST"):
        running: Daemon = request.getfixturevalue("docker")
        found |= {"docker": running.containers(), "images": running.images()}
    return found


def _settled(bench: Bench, request: pytest.FixtureRequest, before: dict[str, object]) -> None:
    """The engines' own programs may still put things in order for a moment."""
    end = time.monotonic() + 10
    while (found := _left(bench, request)) != before and time.monotonic() < end:
        time.sleep(0.1)
    assert found == before


@pytest.mark.needs("dockerd", "root")
def test_an_image_that_was_removed_is_loaded_again(
    docker: Daemon, data: Path, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    looked(data, "container", "docker")
    bench = Bench(data, images, "container")
    assert bench.run("echo one").exit_code == 0
    loaded = [name for name in docker.images() if name.startswith("djed-")]
    assert len(loaded) == 1
    docker.ask("rmi", "--force", loaded[0])
    assert bench.run("echo two", name=f"{NAME}-5").exit_code == 0
    assert [name for name in docker.images() if name.startswith("djed-")] == loaded


@pytest.mark.needs("podman", "root", "cgroup")
def test_a_job_on_the_machines_own_files_is_refused(data: Path, images: Images) -> None:
    looked(data, "container", "podman")
    levels: tuple[SandboxLevel, ...] = ("none", "process", "bwrap", "container")
    runner = LocalRunner(
        data / "attempts", images, config=Config(data=data, sandbox_floor="container"), levels=levels
    )
    job = Job(kind="run", command=("true",))
    with pytest.raises(RefusedError, match="needs an image"):
        runner.submit(Attempt(name=f"{NAME}-6", job_id="x", number=1, job=job, node=""))
