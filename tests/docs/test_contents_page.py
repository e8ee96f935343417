"""The page about contents leaves no field out."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from djed.model import contents

PAGE = Path(__file__).parents[2] / "docs/reference/contents.md"
NOUNS = [
    getattr(contents, name) for name in contents.__all__ if dataclasses.is_dataclass(getattr(contents, name))
]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_field_is_explained(noun: type) -> None:
    told = set(re.findall(r"`([a-z_0-9]+)`", PAGE.read_text(encoding="utf-8")))
    assert {field.name for field in dataclasses.fields(noun)} <= told
