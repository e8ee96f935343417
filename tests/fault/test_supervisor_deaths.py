"""The supervisor dies, or is told to cancel, at any moment: there is always an answer, and nothing is left."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from djed.config import Config
from djed.errors import NotFoundError
from djed.run.local import LocalRunner
from djed.testing.runner_contract import shell, wait

# Before it has taken the lock, while it starts the command, while the command runs, when all is over.
MOMENTS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.06, 0.1)


class NoMaterials:
    def blob(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def artifact(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def secret(self, namespace: str, name: str) -> bytes:
        raise NotFoundError(name)


@pytest.fixture
def runner(data: Path) -> LocalRunner:
    return LocalRunner(data / "attempts", NoMaterials(), config=Config(data=data))


def _groups(name: str) -> list[str]:
    return [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if Path(folder).name.startswith(name + ".")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_is_over_or_lost_and_nothing_is_left(
    runner: LocalRunner, data: Path, moment: float
) -> None:
    attempt = shell("sleep 0.03")
    handle = runner.submit(attempt)
    descriptor = runner.fileno(handle)
    assert descriptor is not None
    time.sleep(moment)
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    state = wait(runner, handle).state
    result = runner.collect(handle, data / "attempts" / attempt.name)
    assert (state, result.lost, result.exit_code) in {("lost", True, None), ("over", False, 0)}
    assert _groups(attempt.name) == []
    runner.release(handle)
    assert not (data / "attempts" / attempt.name).exists()


@pytest.mark.parametrize("moment", MOMENTS)
def test_cancelled_at_any_moment_it_is_over(runner: LocalRunner, data: Path, moment: float) -> None:
    attempt = shell("sleep 60")
    handle = runner.submit(attempt)
    time.sleep(moment)
    runner.cancel(handle)
    assert wait(runner, handle).state == "over"
    result = runner.collect(handle, data / "attempts" / attempt.name)
    assert result.cancelled
    assert not result.lost
    assert _groups(attempt.name) == []
