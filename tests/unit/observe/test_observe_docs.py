"""The reference names every key of a report and every class of failure, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from djed.model.observation import FAILURE_CLASSES
from djed.model.result import Result
from djed.observe.report import report

DOCS = Path(__file__).parents[3] / "docs"


def _first_cells(name: str, marker: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8").split(f"<!-- {marker} -->")[1].split("<!-- end")[0]
    return re.findall(r"^\| `([a-z_0-9]+)` \|", text, re.MULTILINE)


def test_the_result_page_has_every_key_of_a_report() -> None:
    found = report(Result(), stdout=b"", stderr=b"", script_sha256=None, python_version=None, failure=None)
    assert sorted(_first_cells("reference/result.md", "keys: report")) == sorted(found)


def test_the_failures_page_has_every_class_in_order() -> None:
    assert tuple(_first_cells("reference/failures.md", "classes")) == FAILURE_CLASSES
