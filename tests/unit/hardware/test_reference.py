"""The reference describes every key of the record and every field of a requirement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from djed.model.request import Gpu, HardwareRequirement
from djed.run.shim import hwgpu, hwinfo

PAGE = (Path(__file__).parents[3] / "docs/reference/hardware.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
WORDS = {word for code in re.findall(r"`([^`]+)`", PROSE) for word in re.findall(r"\w+", code)}
OPEN = {"vulnerabilities", "os_release"}
"""Their keys are the kernel's and the distributor's."""


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in OPEN:
                yield from keys(inner)
    elif isinstance(value, list):
        for item in value[:1]:
            yield from keys(item)


@pytest.mark.parametrize("root", ["/", "xeon"])
def test_every_key_of_the_record_is_described(root: str, request: pytest.FixtureRequest) -> None:
    place = root if root == "/" else request.getfixturevalue(root)
    found = set(keys(hwinfo.record(place))) | set(keys(hwinfo.dynamic(place)))
    found |= set(keys(hwgpu.parse_nvidia_smi("<a><gpu/></a>")))
    undescribed = {key for key in found - WORDS if not key.startswith(("has_", "is_"))}
    assert undescribed == set()


def test_every_field_of_a_requirement_is_described() -> None:
    names = {field.name for field in fields(HardwareRequirement)} - {"gpu"}
    names |= {f"gpu.{field.name}" for field in fields(Gpu)}
    assert {name for name in names if f"| `{name}` |" not in PAGE} == set()
