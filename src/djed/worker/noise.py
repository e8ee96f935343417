"""The A/A noise floor of a machine: the same work, measured twice, interleaved; what differs is noise."""

from __future__ import annotations

import time
from collections.abc import Sequence

from djed.errors import ConflictError
from djed.intake.submission import Submission
from djed.model.inspection import Inspection
from djed.model.observation import Observation, Statistics
from djed.model.request import File, Request, Run
from djed.observe.timing import noise_floor, summarise
from djed.store import facts
from djed.store.store import Store
from djed.toolbox.digest import digest_bytes

__all__ = ["keep", "submission"]

_SCRIPT = b"""\
# A fixed amount of plain interpreter work, some tens of milliseconds.
total = 0
for i in range(600_000):
    total += i * i % 7
"""


def submission(repeats: int) -> Submission:
    """One of the two equal halves."""
    digest = digest_bytes(_SCRIPT)
    script = File(path="noise.py", digest=digest, size=len(_SCRIPT))
    request = Request(
        name="noise", run=Run(script=script, repeat=repeats, warmup=2), labels={"djed": "noise"}
    )
    return Submission(request=request, contents={digest: _SCRIPT})


def keep(store: Store, found: Sequence[Inspection]) -> Statistics:
    """Keep the floor as an observation of the node; the statistics of all runs together. Raises ``ConflictError`` where a half failed."""
    for inspection in found:
        if inspection.outcome != "succeeded":
            why = inspection.failure.message if inspection.failure else f"It is {inspection.state}."
            raise ConflictError(f"The noise floor was not measured: {why}", hint=f"djed show {inspection.id}")
    groups = [
        next(item.values for item in inspection.statistics if item.metric == "duration")
        for inspection in found
    ]
    floor = noise_floor(groups)
    node = found[0].plan.run_node if found[0].plan else None
    observation = Observation(kind="noise_floor", subject={"node": node}, value={"floor": floor})
    with store.change() as connection:
        facts.add_observations(connection, found[0], [observation], time.time())
    return summarise("duration", [value for group in groups for value in group], unit="s", floor=floor)
