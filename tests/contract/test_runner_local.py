"""The local runner keeps the runner's contract at every sandbox level."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.config import Config
from djed.errors import NotFoundError
from djed.model.request import SANDBOX_LEVELS, SandboxLevel
from djed.run.interface import Runner
from djed.run.local import LocalRunner
from djed.testing.runner_contract import RunnerContract


class NoMaterials:
    def blob(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def artifact(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def secret(self, namespace: str, name: str) -> bytes:
        raise NotFoundError(name)


@pytest.fixture(params=["none", "process", pytest.param("bwrap", marks=pytest.mark.needs("bwrap"))])
def level(request: pytest.FixtureRequest) -> SandboxLevel:
    found: SandboxLevel = request.param
    return found


class TestLocalRunner(RunnerContract):
    @pytest.fixture
    def runner(self, level: SandboxLevel, home: Path, data: Path) -> Runner:
        levels = SANDBOX_LEVELS[: SANDBOX_LEVELS.index(level) + 1]
        return LocalRunner(home, NoMaterials(), config=Config(data=data), levels=levels)
