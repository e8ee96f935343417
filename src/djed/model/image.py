"""An image that environments rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from djed.model.contents import Layer, NativePackage
from djed.model.hardware import Interpreter

__all__ = ["Image", "PackageManager"]

PackageManager = Literal["apt", "dnf", "microdnf", "yum", "apk"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """What is known of an image: the base of an environment, alone or with native packages on it."""

    reference: str
    """As the request writes it: ``debian:12``, ``oci:DIR``, ``rootfs:DIR`` …"""
    digest: str
    """``sha256:…`` of its manifest."""
    arch: str
    """As the machine calls it: ``x86_64``, ``aarch64``."""
    os: str | None = None
    """ID of os-release."""
    os_version: str | None = None
    """VERSION_ID of os-release."""
    libc: str | None = None
    """``glibc2.36``, ``musl1.2`` …"""
    package_manager: PackageManager | None = None
    interpreters: tuple[Interpreter, ...] = ()
    """Newest first; paths as they are inside."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """``Env`` of its configuration."""
    user: str | None = None
    workdir: str | None = None
    native: tuple[NativePackage, ...] = ()
    """Installed packages of its package manager; with names and versions alone."""
    layers: tuple[Layer, ...] = ()
    """Lowest first."""
