"""The application: its routes, its layers and its errors put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from djed import __version__
from djed.api.limits import Limits
from djed.api.methods import Methods
from djed.api.problems import djed_problem, http_problem, validation_problem
from djed.api.state import State
from djed.errors import DjedError
from djed.service.admin import Admin

if TYPE_CHECKING:
    from djed.config import Config
    from djed.service.engine import Engine

__all__ = ["ROUTES", "create_app"]

ROUTES = (
    "inspections",
    "evidence",
    "jobs",
    "artifacts",
    "observations",
    "nodes",
    "planning",
    "files",
    "namespace",
    "admin",
    "service",
    "amun",
)
"""Modules of :mod:`djed.api.routes`, in the order of the document."""

_THREADS = 16
"""Calls that the engine serves at once; each may hold a connection of the store."""


def create_app(engine: Engine, config: Config, *, hub: Any = None) -> FastAPI:
    """The service as an ASGI application. ``hub`` waits for changes on behalf of streams and long polls."""
    state = State(engine=engine, config=config, admin=Admin.of(engine.store, "server"), hub=hub)
    app = FastAPI(
        title="Djed",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        generate_unique_id_function=_operation,
    )
    app.state.djed = state
    for name in ROUTES:
        app.include_router(import_module(f"djed.api.routes.{name}").router)
    app.add_exception_handler(DjedError, djed_problem)
    app.add_exception_handler(HTTPException, http_problem)
    app.add_exception_handler(RequestValidationError, validation_problem)
    # The last one is the outermost.
    app.add_middleware(Methods, routes=app)
    app.add_middleware(Limits, state=state)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield
    app.state.djed.stop()


def _operation(route: APIRoute) -> str:
    """``inspections_list``: module and function, so that topics need not know each other's names."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"
