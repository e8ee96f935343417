"""Numbers and moments as people read them."""

from __future__ import annotations

import pytest

from djed.cli.render.words import age, amount, count, percent, subject, times
from djed.model.request import File, Request, Run


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.234, "s", "1.23s"),
        (-0.5, "s", "-500ms"),
        (3 * 2**20, "B", "3 MiB"),
        (45.678, None, "45.68"),
        (1e-7, None, "1e-07"),
        (3.0, None, "3"),
        (2.5, "GFLOPS", "2.5 GFLOPS"),
        (float("inf"), "s", "inf"),
    ],
)
def test_an_amount_reads_in_its_unit(value: float, unit: str | None, text: str) -> None:
    assert amount(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (7300, "2h"), (90000, "1d"), (-5, "0s")]
)
def test_an_age_is_one_number(seconds: float, text: str) -> None:
    assert age(1000.0, 1000.0 + seconds) == text


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.0123, "1.2 %"), (0.25, "25 %"), (3.0, "300 %")])
def test_a_share_is_a_percentage(share: float, text: str) -> None:
    assert percent(share) == text


def test_one_is_singular() -> None:
    assert [count(1, "run"), count(2, "run"), times(2, "x")] == ["1 run", "2 runs", "2 \u00d7 x"]


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (None, "environment"),
        (Run(script="./bench/matmul.py"), "matmul.py"),
        (Run(script=File(path="a/b.sh")), "b.sh"),
        (Run(command=("/bin/true", "x")), "true"),
    ],
)
def test_a_request_is_named_by_what_it_runs(run: Run | None, text: str) -> None:
    assert subject(Request(run=run)) == text
