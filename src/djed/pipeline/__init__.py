"""The flow of an inspection, as one table: :mod:`djed.pipeline.flow`."""

from djed.pipeline.context import Context, Move
from djed.pipeline.flow import FLOW, Step, advance
from djed.pipeline.outcome import named
from djed.pipeline.render import making

__all__ = ["FLOW", "Context", "Move", "Step", "advance", "making", "named"]
