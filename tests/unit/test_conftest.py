"""The ground that the tests stand on."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some

from djed.config import load


def test_data_folder_is_the_tests_own(data: Path) -> None:
    assert load().data == data
    assert not list(data.iterdir())


def test_two_tests_have_two_folders(data: Path) -> None:
    assert data.name.isdecimal()
    assert not list(data.iterdir())


@given(some.integers())
def test_properties_may_stand_beside_the_fixtures(number: int) -> None:
    assert load().sources["data"] == "environment"


def test_no_setting_of_the_machine_reaches_a_test() -> None:
    assert {name for name in os.environ if name.startswith("DJED_")} == {"DJED_DATA", "DJED_CONFIG"}
