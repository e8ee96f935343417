"""Numbers that a script tells about itself."""

from __future__ import annotations

from typing import Any

import pytest

from djed.model.result import Result
from djed.observe.indicator import MOST, metrics, notes, parameters
from djed.observe.report import report


def test_numbers_under_result_become_metrics_with_dotted_names() -> None:
    stdout = {
        "name": "PiMatmul",
        "@parameters": {"reps": 5},
        "@result": {"rate": 223.6, "time": {"best": 1, "all": [1, 2]}, "ok": True},
    }
    assert metrics({"duration": 2.5, "stdout": stdout}) == {"duration": 2.5, "rate": 223.6, "time.best": 1.0}
    assert parameters({"stdout": stdout}) == {"reps": 5}


def test_the_overall_score_is_a_metric() -> None:
    assert metrics({"stdout": {"overall_score": 7}}) == {"overall_score": 7.0}


def test_the_last_line_with_a_result_counts_after_chatter() -> None:
    stdout = 'warming up\n{"@result": {"rate": 1}}\n{"@result": {"rate": 2}}\n{"@result": broken\ndone\n'
    assert metrics({"stdout": stdout}) == {"rate": 2.0}


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "text",
        {},
        [],
        None,
        5,
        {"@result": []},
        {"@result": "fast"},
        '{"@result": 5}',
        '["@result"]',
        {"rate": 5},
        {"@result": {"x": True}},
    ],
)
def test_what_tells_no_numbers_has_no_metrics(stdout: Any) -> None:
    assert metrics({"stdout": stdout}) == {}


def test_what_is_not_finite_is_left_out_and_said_so() -> None:
    found = {"stdout": '{"@result": {"good": 1, "bad": NaN, "worse": Infinity, "huge": 1' + "0" * 400 + "}}"}
    assert metrics(found) == {"good": 1.0}
    assert notes(found) == ("bad, huge, worse: left out, not a usable number",)


def test_too_many_metrics_are_cut_and_said_so() -> None:
    found = {"duration": 1.0, "stdout": {"@result": {f"m{number}": number for number in range(MOST + 9)}}}
    assert len(metrics(found)) == MOST
    assert notes(found) == (f"10 metrics left out: more than {MOST}",)


def test_depth_is_bounded() -> None:
    tree: dict[str, Any] = {"deep": 1}
    for _ in range(50):
        tree = {"d": tree}
    assert metrics({"stdout": {"@result": tree}}) == {}


def test_the_result_is_found_at_the_end_of_chatter_that_the_report_shortens() -> None:
    stdout = b"noise\n" * 40_000 + b'{"@result": {"rate": 3}}\n' + b"bye\n" * 10_000
    found = report(
        Result(duration=1.0), stdout=stdout, stderr=b"", script_sha256=None, python_version=None, failure=None
    )
    assert found["metrics"] == {"duration": 1.0, "rate": 3.0}
    assert found["stdout_shortened"] is True
