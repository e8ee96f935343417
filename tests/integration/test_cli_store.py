"""``djed store``: what it is, and what it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from djed.cli.main import main


def test_a_store_tells_what_it_is(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "sqlite"
    assert found["address"] == str(data / "djed.sqlite")
    assert found["place"] is None
    assert found["size"] > 4096
    assert found["rows"]["inspections"] == 0
    assert main(["store", "info"]) == 0
    out = capsys.readouterr().out
    assert f"{data}/djed.sqlite (sqlite, version {found['version']}" in out


def test_a_store_is_copied_to_postgresql_only(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "copy", str(data / "other.sqlite")]) == 2
    assert "postgresql://" in capsys.readouterr().err
    assert main(["store", "copy", "postgresql://u:sesame@h:x/d"]) == 3
    assert "no store" in capsys.readouterr().err
    assert main(["store", "info", "--quiet"]) == 0
    assert main(["store", "copy", "postgresql://u:sesame@h:x/d"]) == 2
    assert "sesame" not in capsys.readouterr().err
