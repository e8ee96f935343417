"""The kill -9 loop: two workers, a thousand kills; what was lost, stuck, or accepted twice."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from benchmarks.bar import Row, place
from djed.testing.kill_loop import kill_loop

KILLS = int(os.environ.get("KILLS", "1000"))


def measure() -> Iterator[Row]:
    """One row."""
    with place() as folder:
        report = kill_loop(folder, kills=KILLS, progress=_progress)
    yield Row(
        what="kill -9 of a worker every 0.2 to 1 s, two workers",
        bar="0 lost, 0 stuck, 0 accepted twice",
        measured=(
            f"{report.kills} kills, {report.inspections} inspections: {report.lost} lost, {report.stuck} stuck, "
            f"{report.accepted_twice} accepted twice, {report.started_twice} scripts started twice"
        ),
        beside=f"integrity_check {report.integrity}",
        holds=report.clean and report.kills >= 1000,
    )


def _progress(count: int) -> None:
    if count % 50 == 0:
        print(f"kill: {count} of {KILLS}", file=sys.stderr, flush=True)
