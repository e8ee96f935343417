"""Locking and building: everything that executes is a job; here it is rendered, and what it left is sealed."""

from __future__ import annotations

from djed.build.base import BuildError, host_digest, uv_settings
from djed.build.interface import Assembly, Builder, Sealed
from djed.build.lock import given_lock, lock_key, needs_lock_job, read_lock, render_lock, source_packages
from djed.build.manifest import check_manifest
from djed.build.venv import VenvBuilder
from djed.build.wheel import WheelBuilder
from djed.model.artifact import ArtifactKind

__all__ = [
    "BUILDERS",
    "Assembly",
    "BuildError",
    "Builder",
    "Sealed",
    "VenvBuilder",
    "WheelBuilder",
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

BUILDERS: dict[ArtifactKind, type[Builder]] = {"venv": VenvBuilder, "wheel": WheelBuilder}
"""The builders that come with Djed, by what they build."""
