"""``djed export``: values for other programs, and no formula for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from djed.model.summary import StoredObservation
from djed.observe.tabular import RESULT_COLUMNS, cell

Djed = Callable[..., Any]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_one_line_a_value(djed: Djed, engine: Any) -> None:
    found = rows(djed("export", "--format", "csv", "matmul").out)
    assert [(row["metric"], row["repeat"], row["value"]) for row in found] == [
        ("duration", "0", "1.0"),
        ("duration", "1", "1.1"),
    ]
    assert list(found[0]) == list(RESULT_COLUMNS)


def test_an_inspection_without_values_has_one_line(djed: Djed, engine: Any) -> None:
    found = rows(djed("export", "--format", "csv", "broken").out)
    assert [(row["failure"], row["value"]) for row in found] == [("import_error", "")]


def test_a_name_cannot_be_a_formula(djed: Djed, engine: Any) -> None:
    item = engine.get("matmul")
    engine.inspections[item.id] = replace(item, name="=cmd|'/c calc'!A0")
    assert rows(djed("export", "--format", "csv", item.id).out)[0]["name"] == "'=cmd|'/c calc'!A0"


@given(st.text())
def test_no_cell_begins_like_a_formula(text: str) -> None:
    assert not str(cell(text)).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_a_negative_number_stays_a_number() -> None:
    assert cell(-1.5) == -1.5


def test_json_holds_all_without_an_id(djed: Djed, engine: Any) -> None:
    assert [item["name"] for item in json.loads(djed("export").out)] == ["matmul", "broken", "picky"]


def test_observations_are_exported_in_both_forms(djed: Djed, engine: Any) -> None:
    engine.facts.append(
        StoredObservation(seq=7, inspection="x", kind="runs", subject={"a": 1}, value={"b": 2})
    )
    assert json.loads(djed("export", "--observations").out)[0]["value"] == {"b": 2}
    assert rows(djed("export", "--observations", "--format", "csv").out)[0]["subject"] == '{"a": 1}'


def test_a_file_gets_what_stdout_would(djed: Djed, engine: Any, tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    result = djed("export", "--format", "csv", "--output", str(path))
    assert (result.out, path.read_text()) == ("", djed("export", "--format", "csv").out)


def test_a_file_that_cannot_be_written_is_a_sentence(djed: Djed, engine: Any, tmp_path: Path) -> None:
    result = djed("export", "--output", str(tmp_path))
    assert (result.code, "cannot be written: Is a directory." in result.err) == (1, True)
