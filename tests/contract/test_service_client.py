"""The client of a server does what every service must do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from djed.client import Client
from djed.service import Service
from djed.testing.service_contract import ServiceContract
from tests.support.server import server

pytestmark = pytest.mark.needs("uv")

KIND: type[Service] = Client
"""That it has the methods, mypy says."""


LOOPBACK = {"DJED_WEBHOOKS_ALLOW_PRIVATE": "true"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with (
        server(tmp_path_factory.mktemp("service") / "data", environ=LOOPBACK) as served,
        Client(served.url, served.token) as client,
    ):
        yield client


class TestClient(ServiceContract):
    @pytest.fixture
    def service(self, client: Client) -> Service:
        return client
