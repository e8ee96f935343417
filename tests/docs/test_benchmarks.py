"""The table of the bars keeps what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import BARS, main, written

ROOT = Path(__file__).parent.parent.parent
PAGE = """\
Words.

<!-- measured -->

| what | bar |
| --- | --- |
| start | 2 |
| list | 3 |

<!-- end of measured -->
More words.
"""


def test_row_takes_the_place_of_the_one_before() -> None:
    assert written(PAGE, "| start | 1 |") == PAGE.replace("| start | 2 |", "| start | 1 |")


def test_new_row_is_added_and_the_rest_kept() -> None:
    assert written(PAGE, "| queue | 9 |") == PAGE.replace("| list | 3 |", "| list | 3 |\n| queue | 9 |")


def test_row_written_twice_is_there_once() -> None:
    assert written(written(PAGE, "| queue | 9 |"), "| queue | 9 |").count("queue") == 1


def test_unknown_bar_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed"]) == 2
    assert "'speed'" in (said := capsys.readouterr().err)
    assert all(bar in said for bar in BARS)


def test_every_bar_is_a_module_and_every_module_a_bar() -> None:
    modules = {
        file.stem for file in (ROOT / "benchmarks").glob("*.py") if "def measure()" in file.read_text()
    }
    assert modules == set(BARS)
