"""Hardware, as requirements see it, from a record."""

from __future__ import annotations

from typing import Any

import pytest
from archspec.cpu import TARGETS

from djed.model.codec import decode, encode
from djed.model.hardware import Hardware
from djed.run.hardware import detect, microarchitecture
from djed.run.shim import hwinfo


def test_what_jobs_may_use_respects_quota_cpuset_and_memory_limit(xeon: str) -> None:
    hardware = detect(hwinfo.record(xeon))
    assert (hardware.cores, hardware.cpus, hardware.memory) == (2, (0, 1, 2, 3), 524_288)
    assert hardware.physical_cpus == 4


def test_names_and_numbers(xeon: str) -> None:
    hardware = detect(hwinfo.record(xeon))
    assert (hardware.arch, hardware.cpu_vendor, hardware.cpu_family, hardware.cpu_model) == (
        "x86_64",
        "GenuineIntel",
        6,
        85,
    )
    assert (hardware.os, hardware.os_version, hardware.kernel) == ("rocky", "9.4", "5.14.0-427.el9.x86_64")


def test_arm_name_comes_from_the_part_number(altra: str) -> None:
    hardware = detect(hwinfo.record(altra))
    assert hardware.microarchitecture == "neoverse_n1"
    assert "armv8.2a" in hardware.compatible
    assert (hardware.memory, hardware.libc) == (None, "musl")


def test_nearly_nothing_known_still_gives_hardware(bare: str) -> None:
    hardware = detect(hwinfo.record(bare))
    assert (hardware.arch, hardware.microarchitecture, hardware.memory, hardware.gpus) == (
        "unknown",
        None,
        None,
        (),
    )
    assert hardware.cores >= 1


@pytest.mark.parametrize("quota", [0.25, 1.9])
def test_a_fraction_of_a_cpu_is_one_core(xeon: str, quota: float) -> None:
    record = hwinfo.record(xeon)
    record["cgroup"]["cpu_quota"] = quota
    assert detect(record).cores == 1


def test_cpuset_of_another_namespace_does_not_leave_nothing(xeon: str) -> None:
    record = hwinfo.record(xeon)
    record["cgroup"]["cpuset"] = "100-101"
    assert detect(record).cpus == tuple(range(8))


def test_survives_json(xeon: str) -> None:
    hardware = detect(hwinfo.record(xeon))
    assert decode(Hardware, encode(hardware)) == hardware


def test_gpus(xeon: str) -> None:
    record: dict[str, Any] = hwinfo.record(xeon)
    record["gpus"] = [{"name": "NVIDIA H200", "uuid": "u", "memory": 5, "driver": "570", "cuda": "12.8"}]
    (gpu,) = detect(record).gpus
    assert (gpu.name, gpu.memory, gpu.cuda) == ("NVIDIA H200", 5, "12.8")


@pytest.mark.parametrize(
    "name",
    [
        target.name
        for target in TARGETS.values()
        if target.family.name in {"x86_64", "ppc64le"} or target.cpu_part not in {"", "Unknown"}
    ],
)
def test_every_microarchitecture_is_recognised_by_its_features(name: str) -> None:
    target = TARGETS[name]
    part = int(target.cpu_part, 16) if target.cpu_part else None
    found, compatible = microarchitecture(
        target.family.name, target.vendor, target.features, part=part, brand=f"POWER{target.generation}"
    )
    assert found == name
    assert set(compatible) == {name, *(ancestor.name for ancestor in target.ancestors)}


def test_one_missing_feature_falls_back_to_a_generic_level() -> None:
    zen4 = TARGETS["zen4"]
    found, _ = microarchitecture("x86_64", zen4.vendor, zen4.features - {"clzero"})
    assert found == "x86_64_v4"


def test_an_unknown_family_has_no_name() -> None:
    assert microarchitecture("mips64", "x", ()) == (None, ())
