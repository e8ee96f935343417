"""The application: its routes, its layers and its errors put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from djed import __version__
from djed.api.access import Access
from djed.api.hub import Hub
from djed.api.limits import Limits
from djed.api.methods import Methods
from djed.api.metrics import API
from djed.api.problems import djed_problem, http_problem, validation_problem
from djed.api.state import State
from djed.errors import DjedError
from djed.service.admin import Admin
from djed.worker.counters import Counters

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from djed.config import Config
    from djed.service.engine import Engine

__all__ = ["ROUTES", "create_app", "routes"]

ROUTES = (
    "service",
    "inspections",
    "evidence",
    "jobs",
    "artifacts",
    "observations",
    "streams",
    "nodes",
    "planning",
    "files",
    "namespace",
    "admin",
    "metrics",
    "amun",
)
"""Modules of :mod:`djed.api.routes`, in the order of the document."""

_THREADS = 16
"""Calls that the engine serves at once; each may hold a connection of the store."""


def create_app(engine: Engine, config: Config, *, hub: Hub | None = None) -> FastAPI:
    """The service as an ASGI application. ``hub`` waits for changes on behalf of streams and long polls."""
    state = State(
        engine=engine,
        config=config,
        admin=Admin.of(engine.store, "server"),
        hub=Hub(engine.store) if hub is None else hub,
    )
    app = FastAPI(
        title="Djed",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.djed = state
    app.state.counters = Counters(API)
    # Not by include_router, which makes each route anew for each application, and finds it more slowly.
    app.router.routes.extend(routes())
    app.add_exception_handler(DjedError, djed_problem)
    app.add_exception_handler(HTTPException, http_problem)
    app.add_exception_handler(RequestValidationError, validation_problem)
    # The last one is the outermost.
    app.add_middleware(Methods, routes=app)
    app.add_middleware(Limits, state=state)
    app.add_middleware(Access, counters=app.state.counters)
    return app


def routes() -> list[BaseRoute]:
    """The routes of all topics."""
    return [route for name in ROUTES for route in import_module(f"djed.api.routes.{name}").router.routes]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    state: State = app.state.djed
    state.hub.start()
    state.ending.append(state.hub.close)
    try:
        yield
    finally:
        state.stop()
        await state.hub.stop()
