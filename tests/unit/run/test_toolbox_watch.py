"""Waiting for a file to change."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from djed.toolbox import watch
from djed.toolbox.watch import Watch


def test_a_change_before_the_wait_is_not_missed(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.touch()
    with Watch([file]) as watching:
        file.write_text("line")
        assert watching.wait(5)
        assert not watching.wait(0), "each change is told once"


def test_a_folder_stands_for_what_is_in_it(tmp_path: Path) -> None:
    with Watch([tmp_path]) as watching:
        assert not watching.wait(0)
        (tmp_path / "result.tmp").touch()
        assert watching.wait(5)
        (tmp_path / "result.tmp").rename(tmp_path / "result.json")
        assert watching.wait(5)


def test_what_cannot_be_watched_is_waited_for_by_sleeping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    with Watch([tmp_path / "missing"]) as watching:
        assert watching.fileno() is None
        assert watching.wait(60)
    assert naps == [watch._FALLBACK]
