"""An identical inspection that asks for an earlier result, in the process of the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.bar import Row, alternate, beside, place
from djed.config import load
from djed.intake import Submission
from djed.model.quantity import format_duration
from djed.model.request import Request, Run
from djed.service import Engine

BAR = 0.050


def measure() -> Iterator[Row]:
    """One row: from submission until the answer is there, beside the same without reuse."""
    with place() as folder, Engine.open(load({"data": str(folder)})) as engine:

        def answered(reuse: bool) -> float:
            request = Request(
                name="reuse", run=Run(command=("true",)), reuse="result" if reuse else "artifact"
            )
            start = time.perf_counter()
            (inspection,) = engine.submit([Submission(request=request)])
            if inspection.state != "done":
                (inspection,) = engine.wait([inspection.id])
            seconds = time.perf_counter() - start
            if inspection.outcome != "succeeded":
                raise RuntimeError(f"the inspection ended with {inspection.failure}")
            return seconds

        medians = alternate(
            9, {"reuse": lambda: answered(reuse=True), "measured again": lambda: answered(reuse=False)}
        )
    own = medians.pop("reuse")
    yield Row(
        what="an identical inspection with `reuse: result`, in-process",
        bar=f"≤ {format_duration(BAR)}",
        measured=format_duration(own),
        beside=beside(own, medians),
        holds=own <= BAR,
    )
