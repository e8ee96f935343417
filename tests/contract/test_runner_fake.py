"""The fake runner keeps the runner's contract."""

from __future__ import annotations

import pytest

from djed.run.interface import Runner
from djed.testing.fake_runner import FakeRunner
from djed.testing.runner_contract import RunnerContract


class TestFakeRunner(RunnerContract):
    @pytest.fixture
    def runner(self) -> Runner:
        return FakeRunner()
