"""Container engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ENGINE_TARGETS", "ContainerEngine", "EngineFeature", "EngineName"]

EngineName = Literal["podman", "buildah", "docker"]
ENGINE_TARGETS: tuple[EngineName, ...] = ("podman", "docker")
"""Targets of a machine that are container engines: those that run containers."""
EngineFeature = Literal["user namespace", "passthrough", "cgroup", "cpuset"]
"""``user namespace``: users in a container are others than on the machine; ``passthrough``: a container writes right into our pipes;
``cgroup``: a container lies in the control group that we say; ``cpuset``: it can be held to CPUs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerEngine:
    """A container engine that works on a node."""

    name: EngineName
    version: str
    path: str
    """Its executable."""
    builds: bool = False
    """Whether a build with a command in it has really worked here."""
    runs: bool = False
    """Whether a container has really run here."""
    arguments: tuple[str, ...] = ()
    """Global arguments without which it does not work here: ``--runtime runc`` …"""
    build_arguments: tuple[str, ...] = ()
    """Arguments of its build command without which that does not work here: ``--isolation chroot`` …"""
    run_arguments: tuple[str, ...] = ()
    """Arguments of its run command without which that does not work here."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that its calls need: how the engine is reached, and the way of building that works."""
    features: tuple[EngineFeature, ...] = ()
    """What else has really worked here."""
    storage_driver: str | None = None
    """Storage driver without which it cannot keep images in a folder of our own; ``None``: its usual one."""
    runtime: str | None = None
    """Name and version of the runtime: ``runc 1.1.5``."""
    rootless: bool = False
    warning: str | None = None
    """What is known to be bad of this version, as a sentence."""

    @property
    def confines(self) -> bool:
        """Whether what a build runs is in a container of its own, or else at least not the machine's root."""
        return self.rootless or "chroot" not in self.build_arguments
