"""``clean OUTPUTS``: removes what an attempt that was killed has left in its engine. Nothing happens where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from djed.build.inside.engine import Driver, attempt_name, given_engine

__all__ = ["run"]


def run(arguments: Sequence[str]) -> None:
    """Started in the attempt's working directory, with the engine that the attempt had."""
    outputs = Path(arguments[0])
    engine = given_engine()
    if engine is not None:
        Driver(engine, attempt_name(outputs), Path.cwd()).clean()
