"""The end of an inspection on the screen: its result as data on stdout, or what went wrong on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from djed.cli.render import result, shapes
from djed.cli.render.text import bold, dim, log_lines, warn

if TYPE_CHECKING:
    from djed.cli.console import Console
    from djed.model.inspection import Inspection, JobRecord
    from djed.service import Service

__all__ = ["last_log_lines", "report"]

_LAST = 20
_WINDOW = 256 * 1024


def report(engine: Service, inspections: Sequence[Inspection], console: Console, *, json: bool) -> None:
    """Show how each of them ended. With ``json`` one gives an object, several a list."""
    if json:
        values = [shapes.inspection(item, engine.jobs(item.id)) for item in inspections]
        console.json(values[0] if len(values) == 1 else values)
    for item in inspections:
        jobs = engine.jobs(item.id)
        if item.state == "refused":
            lines = result.refusal(item, width=console.width)
        elif item.state == "cancelled":
            lines = [(warn("Cancelled"), " ", bold(item.name))]
        elif item.outcome == "succeeded":
            if not json:
                console.gap()
                console.lines(result.result_block(item, jobs, width=console.width))
            continue
        else:
            lines = result.failure_lines(item, jobs, last_log_lines(engine, jobs))
        # Several that went wrong must not be taken for one another.
        for line in lines if len(inspections) == 1 else [(bold(item.name), dim(f" {item.id}")), *lines]:
            console.err(*line)


def last_log_lines(engine: Service, jobs: Sequence[JobRecord]) -> list[str]:
    """The last lines of the log of the job that failed: of stderr, or of stdout where that is empty."""
    failed = next((job for job in reversed(jobs) if job.state == "failed"), None)
    if failed is None:
        return []
    for stream in ("stderr", "stdout"):
        data = engine.log(failed.id, stream)[-_WINDOW:]
        if data.strip():
            return log_lines(data.decode(errors="replace"), last=_LAST)
    return []
