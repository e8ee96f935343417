"""Where jobs run: targets and their nodes."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response

from djed.api import shapes
from djed.api.answers import answer
from djed.api.auth import Reading
from djed.model.hardware import Node
from djed.model.summary import Page

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["nodes"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A configured place where jobs run."""

    name: str
    nodes: tuple[str, ...]
    """Ids of its nodes."""


@router.get("/nodes", response_model=Page[Node])
def nodes(engine: Reading) -> Response:
    """List every node of every target, with its hardware."""
    return answer(shapes.page(engine.nodes()))


@router.get("/targets", response_model=Page[Target])
def targets(engine: Reading) -> Response:
    """List the targets."""
    found: dict[str, list[str]] = {}
    for node in engine.nodes():
        found.setdefault(node.target, []).append(node.id)
    return answer(shapes.page([Target(name=name, nodes=tuple(ids)) for name, ids in found.items()]))
