"""CSV that a spreadsheet can open without obeying it.

A cell that begins like a formula gets an apostrophe before it (https://owasp.org/www-community/attacks/CSV_Injection); numbers do not.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from djed.model.codec import encode
from djed.model.inspection import Inspection, JobRecord
from djed.model.summary import StoredObservation

__all__ = ["OBSERVATION_COLUMNS", "RESULT_COLUMNS", "cell", "observations", "results"]

RESULT_COLUMNS = (
    "inspection", "name", "state", "outcome", "failure", "created_at", "node", "python", "metric", "unit", "repeat", "value", "outlier",
)  # fmt: skip
OBSERVATION_COLUMNS = ("seq", "inspection", "kind", "created_at", "subject", "value")

Cell = str | float | bool | None


def cell(value: Cell) -> Cell:
    """The value as it may stand in a cell."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")):
        return "'" + value
    return value


def results(found: Sequence[tuple[Inspection, Sequence[JobRecord]]]) -> str:
    """One line for every value of every metric; one line without a metric for an inspection that measured none."""
    return _csv(RESULT_COLUMNS, (row for item, jobs in found for row in _rows(item, jobs)))


def observations(found: Sequence[StoredObservation]) -> str:
    """One line an observation; subject and value as JSON."""
    rows: Iterable[list[Cell]] = (
        [item.seq, item.inspection, item.kind, item.created_at, _json(item.subject), _json(item.value)]
        for item in found
    )
    return _csv(OBSERVATION_COLUMNS, rows)


def _rows(item: Inspection, jobs: Sequence[JobRecord]) -> list[list[Cell]]:
    node = next((job.node for job in reversed(jobs) if job.kind == "run" and job.node), None)
    python = item.lock.python if item.lock else None
    failure = item.failure.kind if item.failure else None
    head: list[Cell] = [item.id, item.name, item.state, item.outcome, failure, item.created_at, node, python]
    rows: list[list[Cell]] = [
        [*head, found.metric, found.unit, repeat, value, repeat in found.outliers]
        for found in item.statistics
        for repeat, value in enumerate(found.values)
    ]
    return rows or [[*head, None, None, None, None, None]]


def _json(value: object) -> str:
    return json.dumps(encode(value), sort_keys=True)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()
