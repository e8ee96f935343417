"""The noise floor of nodes, from the observations."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from djed.service.interface import Service
    from djed.service.looking import Looking

__all__ = ["noise_floor"]


def noise_floor(service: Service | Looking, nodes: Collection[str]) -> float | None:
    """The relative difference below which nothing is believed there: the largest of their newest; ``None`` where none was measured."""
    newest: dict[str, float] = {}
    for item in service.observations(kind="noise_floor").items:
        if item.subject.get("node") in nodes:
            newest.setdefault(item.subject["node"], item.value["floor"])
    return max(newest.values(), default=None)
