"""The builder: renders a job and seals its result into an artifact. It runs nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from djed.model.artifact import Artifact, ArtifactKind
from djed.model.hardware import Interpreter, Node
from djed.model.job import Job, Limits
from djed.model.lock import Lock
from djed.model.request import Environment, Run, SandboxLevel
from djed.model.result import Result

__all__ = ["Assembly", "Builder", "Sealed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    """All that a builder needs to know: the environment with every choice made."""

    environment: Environment
    lock: Lock
    interpreter: Interpreter
    node: Node
    base: str
    """Digest of the base (:func:`djed.build.base.host_digest`)."""
    image: Artifact | None = None
    """The image that the environment rests on, where it is not the host; ``node`` and ``interpreter`` are then as seen inside."""
    venv: Artifact | None = None
    """For a packager: the environment."""
    run: Run | None = None
    """For a packager: what is run in it."""
    content: Callable[[str], bytes] | None = None
    """For a packager: the bytes of a file by its digest."""
    layout: Path | None = None
    """For a packager, when it seals: where the files of ``image`` are. What a job sees of them cannot be linked from there."""
    wheels: Mapping[str, Artifact] = field(default_factory=dict)
    """Wheels that we built from source, by package name."""
    package: str | None = None
    """For a wheel builder: name of the locked package to build."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What the jobs get of uv's own configuration (:func:`djed.build.base.uv_settings`); no part of any digest."""
    limits: Limits = Limits()
    sandbox: SandboxLevel | None = None
    stamp: str = ""
    """What tells this state of a base that lies on the machine from another; for a base alone."""
    salt: str | None = None
    """Part of the digest: makes it an artifact of its own, built anew (``reuse: nothing``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """An artifact and where it lies until the caller has moved it to its place."""

    artifact: Artifact
    path: Path
    """The folder or file to move to ``<artifact store>/<artifact.path>`` by rename."""


class Builder(Protocol):
    """Builds one kind of artifact."""

    kind: ArtifactKind

    def digest(self, assembly: Assembly) -> str:
        """``sha256:…`` of all that goes in. Same digest ⇒ same artifact: it is built once, however many ask. Pure."""
        ...

    def render(self, assembly: Assembly) -> Job:
        """The job that builds it: files, command, limits. Its product appears in ``outputs``. Pure."""
        ...

    def seal(self, assembly: Assembly, result: Result, outputs: Path) -> Sealed:
        """Turn what the job left in ``outputs`` into an artifact: digest, size, manifest, contents.

        Only for a result with exit code 0. ``outputs`` may have been written by hostile code: follow no link, cap everything. Raises
        ``UnsafeError``, or ``ToolError`` where the product is not there. May be called again after a crash.
        """
        ...
