"""What a node has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from djed.model.engine import ContainerEngine
from djed.model.request import SandboxLevel

__all__ = ["GpuDevice", "Hardware", "Interpreter", "Node"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuDevice:
    """One GPU."""

    name: str
    uuid: str | None = None
    memory: int | None = None
    """Bytes."""
    driver: str | None = None
    cuda: str | None = None
    """Highest CUDA version that the driver supports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """The hardware and system of a node, as requirements see it. ``record`` is the full account."""

    arch: str
    """``x86_64``, ``aarch64`` …"""
    microarchitecture: str | None = None
    """archspec's name of the host."""
    compatible: tuple[str, ...] = ()
    """Names of microarchitectures whose code runs here (its archspec ancestors)."""
    cpu_vendor: str | None = None
    cpu_family: int | None = None
    cpu_model: int | None = None
    cpu_stepping: int | None = None
    processor: str | None = None
    """Brand string."""
    cpu_flags: tuple[str, ...] = ()
    """Sorted."""
    physical_cpus: int | None = None
    cores: int = 1
    """Logical CPUs that jobs may use here (affinity and cgroup quota respected)."""
    cpus: tuple[int, ...] = ()
    """Numbers of those CPUs."""
    memory: int | None = None
    """Bytes that jobs may use here (cgroup limit respected)."""
    gpus: tuple[GpuDevice, ...] = ()
    os: str | None = None
    """ID of os-release."""
    os_version: str | None = None
    """VERSION_ID of os-release."""
    kernel: str | None = None
    """Kernel release."""
    libc: str | None = None
    """``glibc2.36``, ``musl1.2`` …"""
    record: Mapping[str, Any] = field(default_factory=dict)
    """Everything that was seen (docs/reference/hardware.md): a superset of Amun's hwinfo."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """A Python that a node has."""

    path: str
    """The real executable, no shim and no link."""
    version: str
    """``3.11.7``."""
    prefix: str
    """What must be readable to run it (``sys.base_prefix``)."""
    implementation: str = "cpython"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of a target."""

    id: str
    """Stable: ``local/<hostname>``."""
    target: str
    hardware: Hardware
    interpreters: tuple[Interpreter, ...] = ()
    """Newest first."""
    sandboxes: tuple[SandboxLevel, ...] = ()
    """Sandbox levels that work here, weakest first."""
    labels: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    """Machine whose workers serve it, among those that share a database."""
    engines: tuple[ContainerEngine, ...] = ()
    """Container engines that work here, the preferred one first."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets that run jobs on it: its own, and each engine that runs containers. They share its CPUs."""
        return (self.target, *(engine.name for engine in self.engines if engine.runs))
