"""The page about the commands is what the commands say."""

from __future__ import annotations

from pathlib import Path

from djed.cli.main import COMMANDS
from djed.cli.reference import page

PAGE = Path(__file__).parents[2] / "docs/reference/cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m djed.cli.reference > docs/reference/cli.md"


def test_every_command_has_its_section() -> None:
    text = page()
    assert [name for name in COMMANDS if f"## `djed {name}`" not in text] == []
