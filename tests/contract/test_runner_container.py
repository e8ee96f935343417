"""The local runner keeps the runner's contract for jobs inside an image, whatever makes their sandbox."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.config import Config
from djed.model.job import Attempt, Handle
from djed.run.interface import Runner
from djed.run.local import LocalRunner
from djed.testing.fake_runner import Played
from djed.testing.runner_contract import RunnerContract
from tests.support.containers import IMAGE, Images, looked
from tests.support.docker import Daemon, daemon

LEVELS = [
    pytest.param(("bwrap", None), id="bwrap", marks=pytest.mark.needs("bwrap")),
    pytest.param(("container", "podman"), id="podman", marks=pytest.mark.needs("podman", "root", "cgroup")),
    pytest.param(("container", "docker"), id="docker", marks=pytest.mark.needs("dockerd", "root", "cgroup")),
    pytest.param(("gvisor", None), id="gvisor", marks=pytest.mark.needs("runsc", "root")),
]


@pytest.fixture(scope="module")
def docker() -> Iterator[Daemon]:
    """A daemon for the tests of this file."""
    with daemon() as running:
        yield running


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """A store with a small image."""
    return Images(tmp_path_factory.mktemp("images"))


@pytest.fixture(params=LEVELS)
def made(
    request: pytest.FixtureRequest, data: Path, images: Images, monkeypatch: pytest.MonkeyPatch, home: Path
) -> Runner:
    """A runner whose strongest level is that of the parameter."""
    level, engine = request.param
    if engine == "docker":
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker").host)
    if level != "bwrap":
        looked(data, level, engine)
    config = Config(data=data, sandbox_floor=level)
    return LocalRunner(home, images, config=config)


class TestJobsInImages(RunnerContract):
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        return tmp_path / "attempts"

    @pytest.fixture
    def runner(self, made: Runner) -> Runner:
        return made

    def begin(self, runner: Runner, attempt: Attempt, played: Played) -> Handle:
        return super().begin(runner, _inside(attempt), played)


@pytest.mark.needs("runsc", "root")
class TestJobsOnTheMachineInGvisor(RunnerContract):
    """It needs no image."""

    @pytest.fixture
    def runner(self, data: Path, images: Images, home: Path) -> Runner:
        looked(data, "gvisor")
        return LocalRunner(home, images, config=Config(data=data, sandbox_floor="gvisor"))


def _inside(attempt: Attempt) -> Attempt:
    job = dataclasses.replace(attempt.job, inside=True, image=IMAGE)
    return dataclasses.replace(attempt, job=job)
