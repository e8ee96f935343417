"""Container engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Engine", "EngineName"]

EngineName = Literal["podman", "buildah", "docker"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
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
    runtime: str | None = None
    """Name and version of the runtime: ``runc 1.1.5``."""
    rootless: bool = False
    warning: str | None = None
    """What is known to be bad of this version, as a sentence."""
