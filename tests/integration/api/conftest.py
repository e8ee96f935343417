"""The application without a socket, over a store of its own; nobody works in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from djed.api.app import create_app
from djed.config import load
from djed.service.admin import Admin
from djed.service.engine import Engine
from djed.testing.fake_runner import FakeRunner


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    data = tmp_path_factory.mktemp("api")
    with Engine.open(load({"data": str(data)}, environ={})) as opened:
        opened.works._runners = {"local": FakeRunner()}  # to look for this machine's Pythons takes seconds
        yield opened


@pytest.fixture
def make(engine: Engine) -> Callable[..., FastAPI]:
    """An application with other settings than the default ones."""

    def application(**settings: Any) -> FastAPI:
        values = {name.replace("__", "."): str(value) for name, value in settings.items()}
        return create_app(engine, load({"data": str(engine.store.data), **values}, environ={}))

    return application


@pytest.fixture
def admin(engine: Engine) -> Admin:
    return Admin.of(engine.store, "test")


@pytest.fixture
def client(make: Callable[..., FastAPI]) -> TestClient:
    """Without a token; the lifespan does not run, so nothing can be followed."""
    return TestClient(make(), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def headers(engine: Engine) -> dict[str, str]:
    """Those of an administrator."""
    _, text = Admin.of(engine.store).create_token("root", scope="admin")
    return {"Authorization": f"Bearer {text}"}
