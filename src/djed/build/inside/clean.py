"""``clean WORK OUTPUTS``: removes what an attempt that was killed has left in its engine. Nothing happens where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from djed.build.inside.engine import Driver, attempt_name, given_engine

__all__ = ["run"]


def run(arguments: Sequence[str]) -> None:
    """Started with the engine that the attempt had, and with its folders."""
    work, outputs = map(Path, arguments)
    engine = given_engine()
    if engine is not None:
        Driver(engine, attempt_name(outputs), work).clean()
