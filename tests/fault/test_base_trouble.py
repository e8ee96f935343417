"""Bases that are damaged, and engines that die, may not, or run out of space in the middle of a build: a class, and nothing left behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from djed.build.native import NativeBuilder
from djed.model.artifact import Artifact
from djed.model.job import Attempt, Handle
from djed.model.observation import Failure
from djed.testing.runner_contract import wait
from tests.support.docker import Daemon, daemon
from tests.support.grounds import Ground, leftovers
from tests.support.images import layout_of, tiny_root

SLOW = '#!/bin/sh\ncase "$*" in *update*) exit 0 ;; esac\necho it begins\nsleep 100\n'
FULL = '#!/bin/sh\ncase "$*" in *update*) exit 0 ;; esac\ncat /dev/zero >/filled\n'

# --- What is no base -----------------------------------------------------------------------------------------------------------------


def tar_with(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def tiny_layout(folder: Path) -> Path:
    tiny_root(folder / "tiny")
    subprocess.run(["tar", "-C", folder / "tiny", "-cf", folder / "tiny.tar", "."], check=True)
    copy = folder / "copy.oci"
    subprocess.run(["cp", "-r", layout_of(folder / "tiny.tar"), copy], check=True)
    return copy


def garbage(folder: Path) -> str:
    (folder / "base.tar").write_bytes(os.urandom(5000))
    return f"docker-archive:{folder}/base.tar"


def truncated(folder: Path) -> str:
    tiny_layout(folder)
    data = (folder / "tiny.tar").read_bytes()
    (folder / "base.tar").write_bytes(data[: len(data) // 2])
    return f"rootfs:{folder}/base.tar"


def leading_out(folder: Path) -> str:
    tar_with(folder / "base.tar", ("../escaped", b"x"))
    return f"rootfs:{folder}/base.tar"


def wrong_digest(folder: Path) -> str:
    layout = tiny_layout(folder)
    largest = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    return f"oci:{layout}"


def no_manifest(folder: Path) -> str:
    tar_with(folder / "base.tar", ("readme", b"x"))
    return f"docker-archive:{folder}/base.tar"


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize("make", [garbage, truncated, leading_out, wrong_digest, no_manifest])
def test_a_base_that_is_damaged_or_hostile(tmp_path: Path, make: Callable[[Path], str]) -> None:
    place = tmp_path / "bases"
    place.mkdir()
    failure = Ground(tmp_path / "ground").failed_base(make(place))
    assert failure.kind == "base_damaged", failure
    assert failure.hint
    assert not list(tmp_path.rglob("escaped"))


# --- Engines in trouble --------------------------------------------------------------------------------------------------------------


class Build:
    """A build under way, whose package manager does what a test wants."""

    def __init__(self, folder: Path, engine: str, script: str) -> None:
        self.ground = Ground(folder, [engine])
        root = tiny_root(folder / "root")
        (root / "usr/bin/apt-get").write_text(script)
        (root / "usr/bin/apt-get").chmod(0o755)
        subprocess.run(["tar", "-C", root, "-cf", folder / "root.tar", "."], check=True)
        self.base: Artifact = self.ground.bring(f"rootfs:{folder}/root.tar")
        self.name = "djed-trouble-1"

    def start(self) -> Handle:
        """Start it, and wait until packages are being installed."""
        job = NativeBuilder().render(self.ground.asked("rootfs:/x", "libgomp1", image=self.base))
        attempt = Attempt(name=self.name, job_id="trouble", number=1, job=job, node="local/here")
        handle = self.ground.runner.submit(attempt)
        end = time.monotonic() + 120
        while "it begins" not in self.said():
            assert time.monotonic() < end, self.said()
            assert not (self.folder / "result.json").exists(), self.said()
            time.sleep(0.05)
        return handle

    @property
    def folder(self) -> Path:
        return self.ground.attempts / self.name

    def said(self) -> str:
        streams = [self.folder / name for name in ("stdout", "stderr")]
        return "".join(path.read_text(errors="replace") for path in streams if path.exists())

    def end(self, handle: Handle) -> Failure:
        """Wait for its end; why it failed."""
        wait(self.ground.runner, handle, 120)
        result = self.ground.runner.collect(handle, self.folder)
        return self.ground.classified(result, self.folder / "outputs")

    def processes(self, *words: str) -> list[int]:
        """Its processes whose command has all the words."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(self.ground.data) in line and all(word in line for word in words):
                found.append(int(entry.name))
        return found


def end_of(processes: list[int]) -> None:
    assert processes
    for process in processes:
        os.kill(process, signal.SIGKILL)


needs_podman = pytest.mark.needs("bwrap", "podman", "root")


@needs_podman
def test_an_engine_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    build = Build(tmp_path, "podman", SLOW)
    handle = build.start()
    end_of([pid for pid in build.processes("--root\0", "build\0") if _program(pid) == "podman"])
    failure = build.end(handle)
    assert failure.kind == "engine_failed", failure
    assert failure.message == "podman was killed while it had to build the image."
    assert leftovers(build.ground) == []
    assert build.processes("build\0") == []


@needs_podman
@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_a_build_that_is_cancelled(tmp_path: Path, engine: str) -> None:
    build = Build(tmp_path, engine, SLOW)
    handle = build.start()
    build.ground.runner.cancel(handle)
    assert build.end(handle).kind == "cancelled"
    assert leftovers(build.ground) == []
    assert build.processes("build\0") == []


@needs_podman
def test_our_own_program_is_killed_in_the_middle(tmp_path: Path) -> None:
    build = Build(tmp_path, "podman", SLOW)
    handle = build.start()
    end_of(build.processes("build/inside\0native"))
    assert build.end(handle).kind == "killed_by_signal"
    assert leftovers(build.ground) == []
    assert build.processes("build\0") == []


@needs_podman
def test_the_supervisor_is_killed_in_the_middle(tmp_path: Path) -> None:
    build = Build(tmp_path, "podman", SLOW)
    handle = build.start()
    end_of([int((build.folder / "started").read_text().split()[0])])
    assert build.end(handle).kind == "lost"
    build.ground.runner.release(handle)
    assert leftovers(build.ground) == []
    assert build.processes("build\0") == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system with little space."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "djed-small", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@needs_podman
def test_the_disk_is_full_in_the_storage_of_the_engine(small: Path) -> None:
    ground = Build(small, "podman", FULL)
    failure = ground.ground.failed_native(ground.base, "libgomp1")
    assert failure.kind == "disk_full", failure.evidence
    assert leftovers(ground.ground) == [str(small)]  # the mount of the test's own


def fake(folder: Path, text: str) -> str:
    program = folder / "engine"
    program.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit 1\n")
    program.chmod(0o755)
    return str(program)


@needs_podman
@pytest.mark.parametrize(
    "text",
    [
        "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        "Error: mkdir /var/lib/containers/storage: permission denied",
        'Error: cannot set up namespace using "/usr/bin/newuidmap": newuidmap: write to uid_map failed: Operation not permitted',
    ],
)
def test_an_engine_that_may_not_be_used(tmp_path: Path, text: str) -> None:
    build = Build(tmp_path, "podman", SLOW)
    build.ground.change_engine(path=fake(tmp_path, text.replace("'", "")))
    failure = build.ground.failed_native(build.base, "libgomp1")
    assert failure.kind == "engine_denied", failure
    assert "ermission denied" in failure.message or "not permitted" in failure.message


# --- Docker, whose storage is everybody's --------------------------------------------------------------------------------------------


@pytest.fixture
def dockerd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with daemon() as started:
        monkeypatch.setenv("DOCKER_HOST", started.host)
        yield started


needs_docker = pytest.mark.needs("bwrap", "dockerd", "root")


def has_nothing(started: Daemon) -> bool:
    return (started.containers(), started.ask("images", "--all", "--quiet")) == ([], "")


@needs_docker
@pytest.mark.parametrize("way", ["0", "1"])
def test_a_build_by_docker_that_is_cancelled_or_killed(tmp_path: Path, dockerd: Daemon, way: str) -> None:
    build = Build(tmp_path, "docker", SLOW)
    build.ground.change_engine(variables={"DOCKER_HOST": dockerd.host, "DOCKER_BUILDKIT": way})
    handle = build.start()
    build.ground.runner.cancel(handle)
    assert build.end(handle).kind == "cancelled"
    assert has_nothing(dockerd), dockerd.ask("images", "--all")
    build.name = "djed-trouble-2"
    handle = build.start()
    end_of(build.processes("build/inside\0native"))
    assert build.end(handle).kind == "killed_by_signal"
    assert has_nothing(dockerd), dockerd.ask("images", "--all")


@needs_docker
def test_the_daemon_of_docker_dies_in_the_middle(tmp_path: Path, dockerd: Daemon) -> None:
    build = Build(tmp_path, "docker", SLOW)
    handle = build.start()
    pid = int((dockerd.socket.parent / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    failure = build.end(handle)
    assert failure.kind == "engine_failed", failure
    assert "docker" in failure.message


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""
