"""Faults of requirements and resources."""

from __future__ import annotations

import pytest

from djed.errors import RequestError
from djed.model.request import Gpu, HardwareRequirement, Resources
from djed.plan.check import check_requirement, check_resources
from djed.plan.microarchitecture import check_microarchitecture

Wanted = HardwareRequirement


@pytest.mark.parametrize(
    ("requirement", "path"),
    [
        (Wanted(cpu_family="old"), "cpu_family"),
        (Wanted(cpu_model="4..2"), "cpu_model"),
        (Wanted(physical_cpus="-1"), "physical_cpus"),
        (Wanted(cores="1..2..3"), "cores"),
        (Wanted(memory="lots"), "memory"),
        (Wanted(os=">=12"), "os"),
        (Wanted(os="debian>=twelve or so"), "os"),
        (Wanted(kernel="new"), "kernel"),
        (Wanted(gpu=Gpu(count="few")), "gpu.count"),
        (Wanted(gpu=Gpu(memory="80 Gigs")), "gpu.memory"),
        (Wanted(microarchitecture="zen3.."), "microarchitecture"),
        (Wanted(microarchitecture="zen3..zen"), "microarchitecture"),
        (Wanted(microarchitecture="x86_64_v9+"), "microarchitecture"),
        (Wanted(microarchitecture="zen2..zen33"), "microarchitecture"),
        (Wanted(any_of=(Wanted(), Wanted(ordered=(Wanted(cores="x"),)))), "any_of[1].ordered[0].cores"),
        (Wanted(), None),
    ],
)
def test_each_fault_has_its_path(requirement: HardwareRequirement, path: str | None) -> None:
    assert [fault.path for fault in check_requirement(requirement)] == (
        [f"run.hardware.{path}"] if path else []
    )


def test_all_faults_at_once() -> None:
    assert len(check_requirement(Wanted(cores="x", memory="y", any_of=(Wanted(kernel="z"),)))) == 3


def test_nesting_has_an_end() -> None:
    requirement = Wanted()
    for _ in range(500):
        requirement = Wanted(any_of=(requirement,))
    (fault,) = check_requirement(requirement)
    assert "nested" in fault.message


@pytest.mark.parametrize(
    ("name", "near"), [("x86_64_v33", "x86_64_v3"), ("skylake_avx12", "skylake_avx512"), ("zen66+", "zen")]
)
def test_nearest_microarchitecture_is_named(name: str, near: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_microarchitecture(name)
    assert near in (caught.value.hint or "")


def test_name_like_no_other_gets_a_general_hint() -> None:
    with pytest.raises(RequestError, match="no microarchitecture '☃'"):
        check_microarchitecture("☃")


@pytest.mark.parametrize(
    ("resources", "path"),
    [
        (Resources(cpu="x"), "cpu"),
        (Resources(cpu=0), "cpu"),
        (Resources(cpu="0+"), "cpu"),
        (Resources(memory="1Gi+"), "memory"),
        (Resources(disk="-"), "disk"),
        (Resources(gpu=-1), "gpu"),
        (Resources(processes=0), "processes"),
    ],
)
def test_resources_that_make_no_sense(resources: Resources, path: str) -> None:
    assert [fault.path for fault in check_resources(resources)] == [f"run.resources.{path}"]


def test_ordinary_resources_have_no_fault() -> None:
    assert check_resources(Resources(cpu="1+", memory="1Gi", gpu=1, disk="1G", processes=5)) == ()
