"""kill -9, again and again: nothing is lost, stuck or accepted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.testing.kill_loop import kill_loop


@pytest.mark.needs("uv")
@pytest.mark.timeout(180)
def test_fifty_kills_of_two_workers_break_no_promise(data: Path) -> None:
    report = kill_loop(data, kills=50)
    assert report.clean, report
    assert report.inspections > 50
