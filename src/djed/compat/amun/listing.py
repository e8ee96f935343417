"""Numbered pages over a list that has cursors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from djed.compat.amun.specification import is_id
from djed.errors import RequestError

if TYPE_CHECKING:
    from djed.service.engine import Engine

__all__ = ["listed"]

_STRIDE = 1000
_DEEPEST = 100_000
"""Inspections that may lie before a page: they are walked over."""


def listed(engine: Engine, page: int, limit: int) -> Sequence[str]:
    """The ids of a page, newest first: Amun's for what came by its door, ours for others. Raises ``RequestError`` too far down."""
    before = (page - 1) * limit
    if before > _DEEPEST:
        raise RequestError(
            f"Only the newest {_DEEPEST} inspections are on pages.",
            hint="GET /v1/inspections has them all, by cursors.",
        )
    after: str | None = None
    while before:
        step = engine.page(limit=min(before, _STRIDE), after=after)
        before, after = before - len(step.items), step.next
        if after is None:
            return []
    items = engine.page(limit=limit, after=after).items
    return [item.name if is_id(item.name) else item.id for item in items]
