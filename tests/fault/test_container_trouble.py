"""Bad luck with containers: killed clients and supervisors, jobs that will not end, images and daemons that go away. Nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.config import Config
from djed.errors import DjedError, RefusedError
from djed.model.job import Attempt, Handle, Job, Limits
from djed.model.request import SandboxLevel
from djed.model.result import Result
from djed.run import engines
from djed.run.local import LocalRunner
from djed.testing.runner_contract import wait
from djed.toolbox.watch import Watch
from tests.support.containers import IMAGE, Images, looked, podman_containers
from tests.support.docker import Daemon, daemon

PODMAN = pytest.param("podman", marks=pytest.mark.needs("podman", "root", "cgroup"))
DOCKER = pytest.param("docker", marks=pytest.mark.needs("dockerd", "root", "cgroup"))
GVISOR = pytest.param("gvisor", marks=pytest.mark.needs("runsc", "root", "cgroup"))
NAME = f"djed-plight{os.getpid()}"
STUBBORN = "trap '' TERM; echo begun; while :; do sleep 1; done"


@pytest.fixture(scope="module")
def docker() -> Iterator[Daemon]:
    """A daemon for the tests of this file."""
    with daemon() as running:
        yield running


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return Images(tmp_path_factory.mktemp("images"))


class Bench:
    """A runner at one level, and what is left of its attempts."""

    def __init__(self, data: Path, images: Images, name: str, docker: Daemon | None) -> None:
        self.home = data / "attempts"
        self.name = name
        self.docker = docker
        self.data = data
        self.images = images
        level: SandboxLevel = "gvisor" if name == "gvisor" else "container"
        looked(data, level, None if name == "gvisor" else name)
        self.config = Config(data=data, sandbox_floor=level)
        self.runner = self.another()

    def another(self) -> LocalRunner:
        """As another worker process has it."""
        return LocalRunner(self.home, self.images, config=self.config)

    def start(self, script: str, *, timeout: float = 60.0) -> Handle:
        """Start a script that says ``begun``, and wait until it did."""
        job = Job(
            kind="run",
            command=("/bin/sh", "-c", script),
            inside=True,
            image=IMAGE,
            limits=Limits(timeout=timeout),
        )
        attempt = Attempt(name=f"{NAME}-1", job_id="trouble", number=1, job=job, node="local/n")
        handle = self.runner.submit(attempt)
        end = time.monotonic() + 30
        with Watch([self.home / attempt.name]) as watch:
            while b"begun" not in b"".join(self.runner.logs(handle)):
                assert time.monotonic() < end, (self.home / attempt.name / "stderr").read_text()
                watch.wait(0.05)
        return handle

    def end(self, handle: Handle) -> Result:
        wait(self.runner, handle, 30)
        return self.runner.collect(handle, self.home / handle.name)

    def left(self) -> list[str]:
        """Containers, groups and processes of ours."""
        found = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{NAME}-*")]
        found += [name for name in podman_containers() if name.startswith(NAME)]
        found += [str(path) for path in (self.data / "gvisor/state").glob("*")]
        found += self.docker.containers() if self.docker else []
        return found + _processes(NAME)

    def clean(self) -> bool:
        """Whether nothing is left, soon."""
        end = time.monotonic() + 10
        while self.left() and time.monotonic() < end:
            time.sleep(0.1)
        assert self.left() == []
        return True

    def client(self, handle: Handle) -> int:
        """The process of podman, docker or runsc that the shim started."""
        supervisor = int((self.home / handle.name / "started").read_text().split()[0])
        tool = {"gvisor": "runsc"}.get(self.name, self.name)
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        return next(
            int(pid)
            for pid in children
            if tool in Path(f"/proc/{pid}/comm").read_text() and "run" in _arguments(pid)
        )


def _arguments(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")


def _processes(word: str) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                arguments = _arguments(folder.name)
            except OSError:
                continue
            found += [" ".join(arguments)[:200]] if any(word in part for part in arguments) else []
    return found


@pytest.fixture(params=[PODMAN, DOCKER, GVISOR])
def bench(
    request: pytest.FixtureRequest, data: Path, images: Images, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    running = request.getfixturevalue("docker") if request.param == "docker" else None
    if running is not None:
        monkeypatch.setenv("DOCKER_HOST", running.host)
    return Bench(data, images, request.param, running)


def test_cancel_ends_a_stubborn_job_soon(bench: Bench) -> None:
    handle = bench.start(STUBBORN)
    started = time.monotonic()
    bench.runner.cancel(handle)
    result = bench.end(handle)
    assert time.monotonic() - started < 2.5, (
        "the half second of grace, and what the engine needs to remove it"
    )
    assert result.cancelled
    assert result.exit_code is None
    assert bench.clean()


def test_a_polite_job_ends_at_once_and_in_its_own_way(bench: Bench) -> None:
    handle = bench.start("trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.05; done")
    bench.runner.cancel(handle)
    result = bench.end(handle)
    assert result.cancelled
    assert (bench.home / handle.name / "stdout").read_text() == "begun\nbye\n"
    assert bench.clean()


def test_out_of_time_ends_all_its_processes(bench: Bench) -> None:
    handle = bench.start("sleep 4711 & sleep 4711 & echo begun; wait", timeout=1.0)
    result = bench.end(handle)
    assert result.timed_out
    assert 0.9 < result.duration < 3.5
    assert bench.clean()
    assert _processes("4711") == []


def test_what_it_leaves_in_the_background_ends_with_it(bench: Bench) -> None:
    handle = bench.start("(trap '' TERM HUP; sleep 4712) & echo begun")
    assert bench.end(handle).exit_code == 0
    assert bench.clean()
    assert _processes("4712") == []


def test_a_killed_client_is_an_error_and_its_container_is_removed(bench: Bench) -> None:
    handle = bench.start(STUBBORN)
    os.kill(bench.client(handle), signal.SIGKILL)
    result = bench.end(handle)
    assert result.exit_code is None
    assert "was killed" in (result.error or "")
    assert bench.clean()


def test_a_killed_supervisor_is_a_lost_attempt_and_its_container_is_removed(bench: Bench) -> None:
    handle = bench.start(STUBBORN)
    os.kill(int((bench.home / handle.name / "started").read_text().split()[0]), signal.SIGKILL)
    assert wait(bench.runner, handle).state == "lost"
    assert bench.runner.collect(handle, bench.home / handle.name).lost
    bench.runner.release(handle)
    assert bench.clean()


def test_another_worker_finds_it_and_hears_its_end(bench: Bench) -> None:
    handle = bench.start("echo begun; while [ ! -e go ]; do sleep 0.05; done; exit 6")
    other = bench.another()
    assert other.poll([handle])[handle.name].state == "running"
    (bench.home / handle.name / "inputs/go").touch()
    assert wait(other, handle).state == "over"
    assert other.collect(handle, bench.home / handle.name).exit_code == 6
    assert bench.clean()


@pytest.mark.needs("podman", "root", "cgroup")
def test_a_container_that_somebody_else_removes_is_an_end(data: Path, images: Images) -> None:
    bench = Bench(data, images, "podman", None)
    handle = bench.start(STUBBORN)
    subprocess.run(["podman", "rm", "--force", "--time", "0", handle.name], check=True, capture_output=True)
    result = bench.end(handle)
    assert result.signal == signal.SIGKILL or result.error
    assert bench.clean()


@pytest.mark.needs("dockerd", "root", "cgroup")
def test_a_daemon_that_goes_away(data: Path, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    with daemon() as running:
        monkeypatch.setenv("DOCKER_HOST", running.host)
        bench = Bench(data, images, "docker", running)
        bench.end(bench.start("echo begun"))
    assert engines.remembered(data) is None, "its socket is gone"
    job = Job(kind="run", command=("true",), inside=True, image=IMAGE)
    attempt = Attempt(name=f"{NAME}-2", job_id="x", number=1, job=job, node="")
    with pytest.raises(DjedError, match=r"docker failed|Cannot connect"):
        bench.runner.submit(attempt)
    assert not (bench.home / attempt.name).exists()


def test_a_daemon_that_was_never_there_is_left_out_with_a_reason(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert "docker" not in {engine.name for engine in engines.probe(data)}
    reason = engines.reasons(data)["docker"]
    assert "none.sock" in reason or "not on this machine" in reason
    assert "\n" not in reason


def test_no_engine_at_all_is_refused_in_a_sentence(
    data: Path, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engines.probe(data) == ()
    assert set(engines.reasons(data)) == {"podman", "buildah", "docker"}
    runner = LocalRunner(data / "attempts", images, config=Config(data=data, sandbox_floor="container"))
    job = Job(kind="run", command=("true",), inside=True, image=IMAGE)
    with pytest.raises(RefusedError, match="container"):
        runner.submit(Attempt(name=f"{NAME}-3", job_id="x", number=1, job=job, node=""))
