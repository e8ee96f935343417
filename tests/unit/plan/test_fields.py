"""Every field of a hardware requirement, accepting and refusing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djed.model.hardware import Node
from djed.model.request import Gpu, HardwareRequirement
from djed.plan.match import match

Wanted = HardwareRequirement

# Field -> what the node has, and what it has not.
CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "arch": (["x86_64", "amd64", "AMD64", "x86-64"], ["aarch64", "arm64", "x86"]),
    "microarchitecture": (
        [
            "zen3",
            "zen2",
            "x86_64_v3",
            "x86_64_v3+",
            "zen2+",
            "x86_64_v2..x86_64_v4",
            "x86_64..x86_64_v3",
            "zen..zen3",
            "zen2..zen4",
        ],
        ["zen4", "x86_64_v4", "x86_64_v4+", "haswell", "x86_64..x86_64_v2", "zen..zen2", "neoverse_n1"],
    ),
    "cpu_vendor": (["AuthenticAMD", "authenticamd", "amd"], ["GenuineIntel", "intel"]),
    "cpu_family": ([25, "25", "25+", "23..25", "20+"], [24, "26+", "1..24"]),
    "cpu_model": ([1, "1", "0..1"], [2, "2+"]),
    "processor": (["epyc", "EPYC 7763"], ["Xeon", "7764"]),
    "cpu_flags": (
        [("avx2",), ("avx2", "fma"), ("sse4.1",), ("sse3",), ("SHA",), ("lzcnt",)],
        [("avx512f",), ("avx2", "amx-tile")],
    ),
    "physical_cpus": ([64, "32+", "64..128"], [63, "65+"]),
    "cores": ([128, "1+", "100..200"], [127, "129+"]),
    "memory": (["256Gi", "256Gi+", "200Gi..256Gi", "128Gi+"], ["128Gi", "300Gi+", "1Gi..64Gi"]),
    "gpu": (
        [
            Gpu(),
            Gpu(model="a100"),
            Gpu(count=3),
            Gpu(count="2+"),
            Gpu(model="A100", count=2),
            Gpu(memory="80Gi+", count=2),
            Gpu(model="h200", count=0),
            Gpu(model="t4", memory="15Gi"),
        ],
        [
            Gpu(model="h200"),
            Gpu(count=2),
            Gpu(count="4+"),
            Gpu(memory="96Gi+"),
            Gpu(model="t4", memory="40Gi+"),
            Gpu(count=0),
        ],
    ),
    "os": (
        ["debian", "Debian", "debian>=12", "debian==12", "debian >=11,<13", "debian~=12.0"],
        ["ubuntu", "debian>=13", "debian<12", "deb"],
    ),
    "kernel": ([">=5.15", "6.1", ">=6.1,<7", "~=6.0", "6.*"], [">=6.2", "5.15", "<6"]),
    "labels": ([{"rack": "7"}], [{"rack": "8"}, {"room": "7"}, {"rack": "7", "room": "1"}]),
    "any_of": (
        [(Wanted(cores=1), Wanted(cores=128)), (Wanted(any_of=(Wanted(arch="amd64"),)),)],
        [(Wanted(cores=1), Wanted(arch="aarch64"))],
    ),
    "ordered": ([(Wanted(cores=1), Wanted(cores=128))], [(Wanted(cores=1),)]),
}

# What a machine that shows nearly nothing says: not known is not enough.
UNKNOWN = {
    "microarchitecture": None,
    "compatible": (),
    "cpu_vendor": None,
    "cpu_family": None,
    "cpu_model": None,
    "processor": None,
    "cpu_flags": (),
    "physical_cpus": None,
    "memory": None,
    "gpus": (),
    "os": None,
    "os_version": None,
    "kernel": None,
}


def test_every_field_has_an_accepting_and_a_refusing_case() -> None:
    assert CASES.keys() == {field.name for field in fields(HardwareRequirement)}
    assert all(accepted and refused for accepted, refused in CASES.values())


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (good, _) in CASES.items() for value in good]
)
def test_accepts(make_node: Callable[..., Node], name: str, value: Any) -> None:
    assert match(Wanted(**{name: value}), [make_node()]).fits


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (_, bad) in CASES.items() for value in bad]
)
def test_refuses_and_says_where(make_node: Callable[..., Node], name: str, value: Any) -> None:
    found = match(Wanted(**{name: value}), [make_node()])
    assert not found.fits
    failing = [line for line in found.table[0]["lines"] if not line["ok"]]
    assert all(
        line["path"].startswith(f"run.hardware.{name}") and line["asked"] and line["has"] for line in failing
    )
    assert f"run.hardware.{name}" in found.reason


@pytest.mark.parametrize("name", [name for name in CASES if name in UNKNOWN] + ["gpu"])
def test_what_is_not_known_is_not_enough(make_node: Callable[..., Node], name: str) -> None:
    accepted = CASES[name][0][0]
    assert not match(Wanted(**{name: accepted}), [make_node(**UNKNOWN)]).fits


def test_no_requirement_fits_any_node(make_node: Callable[..., Node]) -> None:
    assert len(match(Wanted(), [make_node("a"), make_node("b", **UNKNOWN)]).fits) == 2


def test_generic_level_on_a_virtual_machine_is_explained(make_node: Callable[..., Node]) -> None:
    node = make_node(
        microarchitecture="x86_64_v4",
        compatible=("x86_64_v4", "x86_64_v3"),
        record={"virtualization": {"hypervisor": True}},
    )
    (line,) = match(Wanted(microarchitecture="zen5"), [node]).table[0]["lines"]
    assert line["has"] == "x86_64_v4 (generic: a hypervisor may hide the exact one)"


def test_name_of_a_newer_archspec_is_judged_by_its_ancestors(make_node: Callable[..., Node]) -> None:
    node = make_node(microarchitecture="zen99", compatible=("zen99", "zen3", "zen2", "x86_64_v3", "x86_64"))
    assert match(Wanted(microarchitecture="zen2..zen4"), [node]).fits
    assert not match(Wanted(microarchitecture="x86_64..zen2"), [node]).fits


@pytest.mark.parametrize(("size", "fits"), [(62.7, True), (64, True), (66, True), (60, False), (68, False)])
def test_exact_memory_leaves_firmware_its_share(
    make_node: Callable[..., Node], size: float, fits: bool
) -> None:
    node = make_node(memory=int(size * 2**30))
    assert bool(match(Wanted(memory="64Gi"), [node]).fits) is fits


@given(value=st.integers(1, 4096), down=st.integers(0, 50), up=st.integers(0, 50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@pytest.mark.parametrize(
    ("field", "attribute", "unit"),
    [("cores", "cores", 1), ("cpu_family", "cpu_family", 1), ("memory", "memory", 2**20)],
)
def test_a_node_matches_itself_and_a_wider_range_never_loses_it(
    make_node: Callable[..., Node], field: str, attribute: str, unit: int, value: int, down: int, up: int
) -> None:
    node = make_node(**{attribute: value * unit})
    low, high = max(0, value - down) * unit, (value + up) * unit
    ranges = [str(value * unit), f"{value * unit}..{high}", f"{low}..{high}", f"{low}+", "0+"]
    assert all(match(Wanted(**{field: text}), [node]).fits for text in ranges)  # type: ignore[arg-type]


@given(low=st.integers(0, 99), size=st.integers(0, 99), more=st.integers(0, 99), has=st.integers(0, 300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_widening_keeps_whatever_fitted(
    make_node: Callable[..., Node], low: int, size: int, more: int, has: int
) -> None:
    node = make_node(cores=has, memory=has)
    for field in ("cores", "memory"):
        narrow, wide = f"{low}..{low + size}", f"{max(0, low - more)}..{low + size + more}"
        if match(Wanted(**{field: narrow}), [node]).fits:  # type: ignore[arg-type]
            assert match(Wanted(**{field: wide}), [node]).fits  # type: ignore[arg-type]
            assert match(Wanted(**{field: f"{low}+"}), [node]).fits  # type: ignore[arg-type]
