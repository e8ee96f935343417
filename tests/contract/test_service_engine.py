"""The engine of this machine does what every service must do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from djed.service import Engine, Service
from djed.testing.service_contract import ServiceContract
from tests.support.live import open_engine

pytestmark = pytest.mark.needs("uv")

KIND: type[Service] = Engine
"""That it has the methods, mypy says."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with (
        open_engine(tmp_path_factory.mktemp("service") / "data", webhooks__allow_private="true") as engine,
        engine.working(),
    ):
        yield engine


class TestEngine(ServiceContract):
    @pytest.fixture
    def service(self, engine: Engine) -> Service:
        return engine
