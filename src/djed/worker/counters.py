"""What a worker counts and times for the metrics, without a library: a command that works for a moment must not wait for one.

``MEASURES`` declares all of it. The counters travel as JSON through the row of the worker (:mod:`djed.store.workers`) to whoever answers
``/metrics``, who adds up those of all workers.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from djed.model.inspection import FINAL
from djed.store import workers

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.pipeline import Move
    from djed.store.inspections import Claimed
    from djed.store.jobs import Started
    from djed.store.store import Store
    from djed.worker.harvest import Harvest

__all__ = ["MEASURES", "Counters", "Measure", "Tally"]

_logger = logging.getLogger("djed.worker")
_LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A metric."""

    name: str
    """As Prometheus has it; a counter ends in ``_total``."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, ascending, in seconds; the last one, infinity, is not among them."""


MEASURES: Mapping[str, Measure] = {
    item.name: item
    for item in (
        Measure(
            name="djed_wait_seconds",
            kind="histogram",
            help="From the submission of an inspection until a worker took it up.",
            buckets=_LONG,
        ),
        Measure(
            name="djed_inspection_seconds",
            kind="histogram",
            help="From the submission of an inspection to its end, by outcome (for those without one: refused, cancelled).",
            labels=("outcome",),
            buckets=_LONG,
        ),
        Measure(
            name="djed_job_wait_seconds",
            kind="histogram",
            help="From the creation of a job to the start of its first attempt. Repeats wait for one another.",
            labels=("kind",),
            buckets=_LONG,
        ),
        Measure(
            name="djed_job_seconds",
            kind="histogram",
            help="Duration of jobs that ended, by kind (lock, wheel, build, run) and class of failure (empty: succeeded).",
            labels=("kind", "failure"),
            buckets=_LONG,
        ),
        Measure(
            name="djed_attempts_total",
            kind="counter",
            help="Attempts that are over, by kind of job and state (succeeded, failed, cancelled, lost).",
            labels=("kind", "state"),
        ),
        Measure(
            name="djed_retries_total",
            kind="counter",
            help="Attempts that were made again because a machine, a supervisor or a target failed.",
            labels=("kind",),
        ),
        Measure(
            name="djed_cache_total",
            kind="counter",
            help="Locks and environments that were needed: there already (hit) or to be made (miss).",
            labels=("kind", "answer"),
        ),
        Measure(
            name="djed_transaction_seconds",
            kind="histogram",
            help="Transactions of workers that write to the store, from begin to commit.",
            buckets=_SHORT,
        ),
    )
}
"""By name."""


class Counters:
    """Values of measures. Safe for threads."""

    def __init__(self, measures: Mapping[str, Measure] = MEASURES) -> None:
        self._measures = measures
        self._guard = threading.Lock()
        self._values: dict[str, dict[tuple[str, ...], list[float]]] = {}
        """By name and label values: a counter's one value; a histogram's count of each bucket, infinity too, and its sum."""

    def add(self, name: str, n: float = 1.0, **labels: str) -> None:
        """Count."""
        with self._guard:
            self._of(self._measures[name], labels)[0] += n

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Take a duration into a histogram."""
        measure = self._measures[name]
        with self._guard:
            cell = self._of(measure, labels)
            cell[bisect_left(measure.buckets, value)] += 1
            cell[-1] += value

    def _of(self, measure: Measure, labels: Mapping[str, str]) -> list[float]:
        cells = self._values.setdefault(measure.name, {})
        return cells.setdefault(tuple(labels[name] for name in measure.labels), [0.0] * _width(measure))

    def items(self) -> Sequence[tuple[Measure, tuple[str, ...], Sequence[float]]]:
        """Measure, label values and values of each."""
        with self._guard:
            return [
                (self._measures[name], labels, tuple(cell))
                for name, cells in self._values.items()
                for labels, cell in cells.items()
            ]

    def dump(self) -> str:
        """As JSON."""
        found: dict[str, list[Any]] = {}
        for measure, labels, values in self.items():
            found.setdefault(measure.name, []).append([labels, values])
        return json.dumps(found, separators=(",", ":"))

    @classmethod
    def sum(cls, texts: Sequence[str]) -> Self:
        """Add up what was dumped. What another version counts in another way is left out."""
        whole = cls()
        for text in texts:
            for name, cells in json.loads(text).items():
                for labels, values in cells if name in MEASURES else ():
                    whole._take(MEASURES[name], tuple(labels), values)
        return whole

    def _take(self, measure: Measure, labels: tuple[str, ...], values: Sequence[float]) -> None:
        if len(labels) == len(measure.labels) and len(values) == _width(measure):
            cell = self._of(measure, dict(zip(measure.labels, labels, strict=True)))
            cell[:] = [a + b for a, b in zip(cell, values, strict=True)]


def _width(measure: Measure) -> int:
    return len(measure.buckets) + 2 if measure.kind == "histogram" else 1


def _merge(texts: Sequence[str]) -> str:
    return Counters.sum(texts).dump()


def _names(started: Started) -> Mapping[str, str]:
    return {"job": started.attempt.job_id, "attempt": started.attempt.name, "node": started.attempt.node}


class Tally:
    """Counts what one worker does, and keeps it in the worker's row; tells the log of it."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._counters = Counters()
        store.timed = lambda seconds: self._counters.observe("djed_transaction_seconds", seconds)

    def moved(self, item: Claimed, move: Move, now: float) -> None:
        """An inspection took a step."""
        inspection = item.inspection
        state, age = move.changes.get("state"), max(0.0, now - inspection.created_at)
        if state is not None:
            _logger.info(
                "inspection %s", move.changes.get("outcome") or state, extra={"inspection": inspection.id}
            )
        if inspection.state == "queued" and state not in {None, "queued"}:
            self._counters.observe("djed_wait_seconds", age)
        if state in FINAL:
            outcome = str(move.changes.get("outcome") or state)
            self._counters.observe("djed_inspection_seconds", age, outcome=outcome)
        for role, _ in move.cached:
            self._counters.add("djed_cache_total", kind=role.partition(":")[0], answer="hit")
        for job in move.jobs:
            if job.job.kind != "run":
                self._counters.add("djed_cache_total", kind=job.job.kind, answer="miss")

    def started(self, new: Sequence[Started]) -> None:
        """Attempts began."""
        for item in new:
            _logger.info("%s job starts", item.attempt.job.kind, extra=_names(item))
            if item.attempt.number == 1:
                self._counters.observe("djed_job_wait_seconds", item.waited, kind=item.attempt.job.kind)

    def ended(self, started: Started, harvest: Harvest) -> None:
        """An attempt is over, and its job with it."""
        kind, state = started.attempt.job.kind, "lost" if harvest.lost else harvest.state
        _logger.info("%s job %s", kind, state, extra=_names(started))
        self._counters.add("djed_attempts_total", kind=kind, state=state)
        if harvest.report is not None:
            failure = harvest.failure.kind if harvest.failure else ""
            self._counters.observe(
                "djed_job_seconds", float(harvest.report["duration"]), kind=kind, failure=failure
            )

    def retried(self, started: Started) -> None:
        """An attempt came to nothing and is made again."""
        kind = started.attempt.job.kind
        _logger.info("%s job is tried again", kind, extra=_names(started))
        self._counters.add("djed_attempts_total", kind=kind, state="lost")
        self._counters.add("djed_retries_total", kind=kind)

    def beat(self, connection: sa.Connection) -> None:
        """Say that we are alive, and what we counted. Who was taken for dead begins anew."""
        now = time.time()
        if not workers.beat(connection, self._name, now=now, counters=self._counters.dump()):
            self._counters = Counters()
            workers.register(connection, self._name, place=self._store.place, now=now)

    def bury(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """Keep what workers counted that are gone; ourselves, when we go."""
        if self._name in names:
            self.beat(connection)
        workers.fold(connection, names, _merge)

    def bury_silent(self, connection: sa.Connection, before: float) -> None:
        """The same for those of whom nothing was heard since then."""
        workers.fold_silent(connection, before, _merge)
