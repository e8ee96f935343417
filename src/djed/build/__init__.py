"""Locking and building: everything that executes is a job; here it is rendered, and what it left is sealed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from djed.build.base import BuildError, host_digest, uv_settings
from djed.build.interface import Assembly, Builder, Sealed
from djed.build.lock import given_lock, lock_key, needs_lock_job, read_lock, render_lock, source_packages
from djed.build.manifest import check_manifest

__all__ = [
    "BUILDERS",
    "Assembly",
    "BuildError",
    "Builder",
    "Builders",
    "Sealed",
    "check_manifest",
    "given_lock",
    "host_digest",
    "lock_key",
    "needs_lock_job",
    "read_lock",
    "render_lock",
    "source_packages",
    "uv_settings",
]

BUILDERS: Mapping[str, str] = {
    "archive": "djed.build.package_archive:ArchivePackager",
    "base": "djed.build.base_image:BaseBuilder",
    "image": "djed.build.package_image:ImagePackager",
    "native": "djed.build.native:NativeBuilder",
    "sif": "djed.build.package_sif:SifPackager",
    "venv": "djed.build.venv:VenvBuilder",
    "wheel": "djed.build.wheel:WheelBuilder",
}
"""The builders that come with Djed, by what they build: the class of each, as an entry point would name it."""


class Builders(Mapping[str, Builder]):
    """The builders, each loaded when it is first needed: most environments need one of them."""

    def __init__(self) -> None:
        self._loaded: dict[str, Builder] = {}

    def __getitem__(self, name: str) -> Builder:
        if name not in self._loaded:
            module, _, kind = BUILDERS[name].partition(":")
            self._loaded[name] = getattr(import_module(module), kind)()
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(BUILDERS)

    def __len__(self) -> int:
        return len(BUILDERS)
