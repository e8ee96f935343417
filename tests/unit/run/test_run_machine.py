"""What is slow to learn of this machine is asked once per boot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from djed.config import Config
from djed.run import machine


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The GPUs that each look at the machine was given."""
    asked: list[Any] = []

    def record(*, gpus: list[Any] | None = None) -> dict[str, Any]:
        asked.append(gpus)
        return {"gpus": ["seen"] if gpus is None else gpus}

    monkeypatch.setattr(machine.hwinfo, "record", record)  # type: ignore[attr-defined]
    return asked


def test_gpus_are_looked_for_once_per_boot(data: Path, asked: list[Any]) -> None:
    assert machine.remember(data) == {"gpus": ["seen"]}
    assert machine.remember(data) == {"gpus": ["seen"]}
    assert asked == [None, ["seen"]]


@pytest.mark.parametrize(
    "kept", ['{"boot_id": "another", "record": {"gpus": []}}', "{", "[]", '{"boot_id": 1}']
)
def test_what_another_boot_saw_or_cannot_be_read_is_forgotten(
    data: Path, asked: list[Any], kept: str
) -> None:
    (data / "node.json").write_text(kept)
    machine.remember(data)
    assert asked == [None]
    assert json.loads((data / "node.json").read_text())["record"] == {"gpus": ["seen"]}


def test_the_configured_uv_goes_first() -> None:
    assert machine.installed_uv(Config(uv="/bin/sh")) == "/bin/sh"
