"""``djed hwinfo``: the nodes and their hardware."""

from typing import Annotated

from cyclopts import Parameter

from djed.cli.parameters import Injected, Json
from djed.cli.render.hardware import node_lines
from djed.cli.render.text import bold, dim
from djed.cli.render.words import percent
from djed.model.codec import encode
from djed.service.floor import noise_floor

__all__ = ["hwinfo"]


def hwinfo(
    *,
    noise: Annotated[
        bool, Parameter(help="Measure and keep the noise floor: how much identical runs differ here.")
    ] = False,
    json: Json = False,
    context: Injected,
) -> None:
    """Show the hardware of every node, as requirements name it."""
    console = context.console
    with context.engine() as engine:
        nodes = engine.nodes()
        floor = None
        if noise:
            console.note(dim("Measuring identical runs …"))
            engine.noise()
            floor = noise_floor(engine, {node.id for node in nodes})
    if json:
        value = {"nodes": encode(nodes)}
        console.json({**value, "noise_floor": floor} if noise else value)
        return
    for node in nodes:
        console.lines(node_lines(node))
    if floor is not None:
        console.out(
            bold("noise floor"), f" {percent(floor)}: a smaller difference between two stacks is not believed"
        )
