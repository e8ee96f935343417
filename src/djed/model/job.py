"""One command to execute with inputs, resources and limits; and its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from djed.model.principal import DEFAULT_NAMESPACE
from djed.model.request import SandboxLevel

__all__ = [
    "At",
    "Attempt",
    "Cache",
    "Handle",
    "InputFile",
    "Job",
    "JobKind",
    "JobState",
    "JobStatus",
    "Limits",
    "NewJob",
    "Place",
]

JobKind = Literal["base", "native", "lock", "wheel", "build", "package", "run"]
JobState = Literal["queued", "active", "succeeded", "failed", "cancelled"]
Place = Literal[
    "work", "outputs", "env", "cache", "wheels", "uv", "python", "image", "source", "djed", "interpreter"
]
Cache = Literal["none", "private", "shared"]


@dataclass(frozen=True, kw_only=True, slots=True)
class At:
    """A path whose beginning only the runner knows. Where it is in the job differs by target and sandbox.

    ``work``: the working directory with the inputs; ``outputs``: what the job leaves behind; ``env``: the artifact of the
    environment; ``cache``: uv's cache; ``wheels``: the artifact store, read-only, for wheels that we built; ``uv``: the uv executable;
    ``python``: the interpreter of the job; ``image``: the image of the job, an OCI layout; ``source``: the file or folder of the machine
    that the job reads; ``interpreter`` and ``djed``: Djed's own Python, and the folder that its package lies in, for jobs of its own code.
    """

    place: Place
    path: str = ""
    """Relative to the place; empty: the place itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """A file that lies in the working directory before the job starts. Either ``text`` or ``digest``."""

    path: str
    text: str | None = None
    digest: str | None = None
    """``sha256:…`` of a blob."""
    executable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a job may use, in plain units."""

    cpu: float | None = None
    """CPUs; ``None``: all of the node, alone."""
    memory: int | None = None
    """Bytes; ``None``: no limit of its own."""
    processes: int = 1024
    timeout: float = 600.0
    """Seconds."""
    output: int = 16 * 2**20
    """Bytes kept of each of stdout and stderr."""
    disk: int = 10 * 2**30
    """Bytes in ``work`` and ``outputs`` together."""
    gpu: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to execute; the same for every target."""

    kind: JobKind
    command: tuple[str | At, ...]
    files: tuple[InputFile, ...] = ()
    variables: Mapping[str, str | At] = field(default_factory=dict)
    limits: Limits = Limits()
    network: bool = False
    environment: str | None = None
    """Digest of the artifact that is mounted read-only at ``env``; its ``bin`` leads the PATH."""
    wheels: tuple[str, ...] = ()
    """Digests of wheel artifacts that are readable at ``wheels/<digest>/``."""
    python: str | None = None
    """Path of the interpreter that ``At(place="python")`` means and whose prefix is readable."""
    cache: Cache = "none"
    """``shared``: the package cache, writable; for jobs that run no package code. ``private``: an empty one of its own."""
    sandbox: SandboxLevel | None = None
    """The weakest level that is acceptable; ``None``: the best there is."""
    target: str = "local"
    node: str | None = None
    """Node that the plan chose."""
    image: str | None = None
    """Digest of an image artifact that is readable at ``image``."""
    inside: bool = False
    """Whether the job's file system is that image's instead of the machine's; ``python`` is then a path in there."""
    source: str | None = None
    """Path on the machine that is readable at ``source``."""
    engine: bool = False
    """Whether the job is one of our own that calls a container engine, which confines what it runs. It finds in ``DJED_ENGINE`` which
    one (:class:`djed.model.image.Engine` as JSON); no sandbox is around it."""
    tools: bool = False
    """Whether the job runs Djed's own code: ``interpreter`` and ``djed`` are there."""
    secrets: tuple[str, ...] = ()
    """Names of secrets of its namespace, each a file in the folder ``DJED_SECRETS`` of the job."""
    namespace: str = DEFAULT_NAMESPACE
    """Namespace of the inspection that asked for it first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One start of a job on a target. Its row is committed before anything is started outside."""

    name: str
    """``djed-<job>-<n>``: the name under which the outside knows it."""
    job_id: str
    number: int
    job: Job
    node: str
    cpus: tuple[int, ...] = ()
    """CPUs granted to it; no other attempt has them meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Handle:
    """What a runner must remember of a started attempt; survives a restart."""

    name: str
    """Name of the attempt."""
    target: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """The runner's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """What is known of a started attempt."""

    state: Literal["waiting", "running", "over", "lost"]
    """``waiting`` in the target's queue; ``over``: its result file exists; ``lost``: it ended without one and never will have one."""
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """A job that an inspection needs. An unfinished job with the same ``key`` serves instead of a second one."""

    role: str
    """What it is for the inspection: ``lock``, ``wheel:<package>``, ``build``, ``warmup:0``, ``run:0`` …"""
    job: Job
    key: str | None = None
    """Digest of what it makes."""
    serial: str | None = None
    """Of the jobs that share it, one runs at a time."""
    turn: int = -1
    """Order within a group: builds before runs, run 0 of all before run 1 of any."""
