"""The OpenAPI document: what the routes say, and what is so with all of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

__all__ = ["document"]


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the application."""
    return app.openapi()
