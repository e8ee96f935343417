"""Nodes to plan for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from djed.model.hardware import GpuDevice, Hardware, Node

MakeNode = Callable[..., Node]

ZEN3 = Hardware(
    arch="x86_64",
    microarchitecture="zen3",
    compatible=("zen3", "zen2", "zen", "x86_64_v3", "x86_64_v2", "x86_64"),
    cpu_vendor="AuthenticAMD",
    cpu_family=25,
    cpu_model=1,
    processor="AMD EPYC 7763 64-Core Processor",
    cpu_flags=("avx2", "fma", "pni", "sse4_1", "sha_ni", "abm"),
    physical_cpus=64,
    cores=128,
    cpus=tuple(range(128)),
    memory=int(251.4 * 2**30),
    gpus=(
        GpuDevice(name="NVIDIA A100-SXM4-80GB", memory=80 * 2**30),
        GpuDevice(name="NVIDIA A100-SXM4-80GB", memory=80 * 2**30),
        GpuDevice(name="Tesla T4", memory=15 * 2**30),
    ),
    os="debian",
    os_version="12",
    kernel="6.1.0-18-amd64",
)


@pytest.fixture
def make_node() -> MakeNode:
    """A node with hardware fields by name, else those of a big AMD machine."""

    def make(name: str = "local/big", labels: dict[str, str] | None = None, **hardware: Any) -> Node:
        fields = {field: getattr(ZEN3, field) for field in ZEN3.__dataclass_fields__}
        chosen = Hardware(**(fields | hardware))
        return Node(id=name, target="local", hardware=chosen, labels=labels or {"rack": "7"})

    return make
