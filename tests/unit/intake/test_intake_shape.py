"""Plain values to nouns; pydantic, which makes the schema, must agree."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from djed.config import Config
from djed.intake import schema
from djed.intake.checks import field_checks
from djed.intake.faults import Faults
from djed.intake.shape import Reader
from djed.model.codec import encode
from djed.model.lock import Lock, LockedFile, LockedPackage
from djed.model.request import (
    Build,
    Environment,
    File,
    Gpu,
    HardwareRequirement,
    Index,
    Request,
    Resources,
    Run,
)

ROOT = Path(__file__).parents[3]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 2.0])
    | st.sampled_from(["a", "2", "bwrap"])
)


@cache
def adapter() -> TypeAdapter[Request]:
    return TypeAdapter(Request)


def keyed(*keys: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys), values, max_size=3)


ITEMS = st.lists(
    SCALARS | keyed("path", "content", "name", "url", "packages", "memory", "x", values=SCALARS), max_size=2
)
VALUES = (
    SCALARS
    | ITEMS
    | keyed("A", "model", "count", "path", "cpu", "memory", "gpu", "arch", "cores", values=SCALARS | ITEMS)
)
NAMES = [
    field
    for kind in (Environment, Run, Resources, HardwareRequirement)
    for field in kind.__dataclass_fields__
]
SECTIONS = keyed(*(name for name in NAMES if name not in {"lock", "__pydantic_config__"}), values=VALUES)
TREES = st.dictionaries(
    st.sampled_from([name for name in Request.__dataclass_fields__ if name != "__pydantic_config__"] + ["x"]),
    VALUES | SECTIONS | st.dictionaries(st.sampled_from(["hardware", "resources"]), SECTIONS),
    max_size=4,
)


@given(TREES)
def test_we_accept_what_the_schema_accepts_and_read_the_same(data: dict[str, Any]) -> None:
    faults = Faults("a")
    request = Reader({}, faults).noun(Request, data)
    try:
        other = adapter().validate_json(json.dumps(data), strict=True)
    except ValidationError:
        assert faults.found
    else:
        assert not faults.found
        assert encode(request) == encode(other)


def test_what_has_a_fault_keeps_its_default() -> None:
    request = Reader({}, Faults("a")).noun(Request, {"name": 1, "run": {"repeat": [], "command": ["a", 1]}})
    assert request == Request(run=Run(command=("a",)))


def test_every_field_that_holds_text_or_a_number_has_a_check() -> None:
    kinds = [
        Request,
        Environment,
        Index,
        File,
        Build,
        Run,
        Resources,
        HardwareRequirement,
        Gpu,
        Lock,
        LockedPackage,
        LockedFile,
    ]
    free = {
        "File.content",
        "Build.package",
        "Request.sandbox",
        "Request.reuse",
        "Request.until",
        "Lock.origin",
    }
    nouns = {kind.__name__ for kind in kinds}
    checked = {label.partition("[")[0] for label in field_checks(Config())}
    checked |= {label.removesuffix(".keys").removesuffix(".values") for label in checked}
    labels = {f"{kind.__name__}.{item.name}" for kind in kinds for item in fields(kind)
              if not nouns & set(re.findall(r"\w+", str(item.type))) and item.type != "bool"}  # fmt: skip
    assert labels - checked == free


def test_the_shipped_schema_is_the_generated_one() -> None:
    shipped = json.loads((ROOT / "docs/reference/inspection.schema.json").read_text(encoding="utf-8"))
    assert shipped == schema(), "write it anew: djed schema > docs/reference/inspection.schema.json"


@pytest.mark.parametrize("name", ["Request", "Run", "Environment", "HardwareRequirement"])
def test_every_key_of_the_schema_is_explained(name: str) -> None:
    found = schema()
    node = found if name == "Request" else found["$defs"][name]
    assert node["additionalProperties"] is False
    assert all("description" in field or "$ref" in field for field in node["properties"].values())
