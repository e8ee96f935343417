"""What a user asks: the request file, field for field (``inspection.yaml``).

Quantities stay as written (``2Gi``, ``1+``, ``10m``); :mod:`djed.model.quantity` reads them. After intake a request is
self-contained: a requirements file has become ``packages`` or ``lock``, and every file is named by the digest of its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from djed.model.lock import Lock

__all__ = [
    "SANDBOX_LEVELS",
    "Build",
    "Environment",
    "File",
    "Gpu",
    "HardwareRequirement",
    "Index",
    "Package",
    "Request",
    "Resources",
    "Reuse",
    "Run",
    "SandboxLevel",
    "Until",
]

SandboxLevel = Literal["none", "process", "bwrap", "container", "gvisor"]
SANDBOX_LEVELS: tuple[SandboxLevel, ...] = ("none", "process", "bwrap", "container", "gvisor")
"""From weakest to strongest."""

Reuse = Literal["nothing", "artifact", "result"]
Until = Literal["lock", "build", "run"]
Package = Literal["image", "sif", "archive"]

_STRICT: dict[str, Any] = {"extra": "forbid", "use_attribute_docstrings": True}


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """A Python package index."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: str
    """Short name, used in the lock to say where a package came from."""
    url: str
    """Address of its simple API, for example ``https://index.example/simple``."""
    packages: tuple[str, ...] = ()
    """Packages that come from this index and from no other. Empty: it replaces the default index."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file that lies in the working directory of the job. One of ``source``, ``content`` and ``digest`` says what is in it."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    path: str
    """Relative path in the working directory."""
    source: str | None = None
    """Path on this machine, relative to the request file and inside its folder."""
    content: str | None = None
    """The text itself."""
    digest: str | None = None
    """``sha256:…`` of a content that the store already has (what intake makes of the other two)."""
    size: int | None = None
    """Bytes; filled in by intake."""
    executable: bool = False
    """Whether the file can be executed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """What to assemble."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    base: str = "host"
    """``host``: this machine's system and Pythons. An image: a name (``debian:12``, with ``@sha256:…`` for exactly one), ``oci:DIR``,
    ``oci-archive:FILE``, ``docker-archive:FILE`` (of ``docker save``), ``rootfs:DIR`` or ``rootfs:FILE`` (a tar)."""
    python: str | None = None
    """Python version or specifier: ``3.11``, ``3.11.7``, ``>=3.10,<3.13``. Default: the newest that fits."""
    packages: tuple[str, ...] = ()
    """Python requirements (PEP 508), for example ``numpy==2.1.*``."""
    requirements: str | None = None
    """A requirements.txt, Pipfile, Pipfile.lock, pyproject.toml or pylock.toml, instead of or beside ``packages``."""
    constraints: tuple[str, ...] = ()
    """Bounds on versions that add no package by themselves."""
    native: tuple[str, ...] = ()
    """Native packages (deb, rpm or apk, by the base), with a version if wanted: ``libgomp1``, ``git=1:2.39.5-0+deb12u2``."""
    indexes: tuple[Index, ...] = ()
    """Package indexes; an index with ``packages`` serves just those; indexes are never merged."""
    exclude_newer: str | None = None
    """Ignore what was uploaded after this date (``2026-11-01``) or moment (RFC 3339)."""
    platform: str | None = None
    """Resolve for this platform (uv's name, for example ``aarch64-manylinux_2_28``) instead of the node's own."""
    files: tuple[File, ...] = ()
    """Files beside the script."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of build and run."""
    lock: Lock | None = None
    """A complete lock, used as it is; made by intake from a lock file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What a job may use."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    cpu: str | float | None = None
    """CPUs: ``2``, ``0.5``, ``500m``, or a range (``1+``). Default: all of the node for a run, one for a build."""
    memory: str | int | None = None
    """Memory: ``512Mi``, ``2Gi``. Default: no limit of its own."""
    gpu: int = 0
    """GPUs to hand in."""
    disk: str | int | None = None
    """Bytes that the job may leave in its directories. Default: the setting ``limits.disk``."""
    processes: int | None = None
    """Processes and threads at once. Default: the setting ``limits.processes``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A GPU that is asked for."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    model: str | None = None
    """Part of its name, any case: ``h200``."""
    count: str | int | None = None
    """How many, or a range."""
    memory: str | int | None = None
    """Memory of each, or a range: ``80Gi+``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HardwareRequirement:
    """What a node must have. Every field that is given must hold; a number is exact unless it is a range (``4+``, ``4..8``)."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    arch: str | None = None
    """Machine architecture: ``x86_64``, ``aarch64`` …"""
    microarchitecture: str | None = None
    """archspec's name: ``zen3`` (that or a descendant of it), a range ``x86_64_v3+`` (that or better) or ``x86_64_v2..x86_64_v4``."""
    cpu_vendor: str | None = None
    """``GenuineIntel``, ``AuthenticAMD`` …"""
    cpu_family: int | str | None = None
    """CPU family or range."""
    cpu_model: int | str | None = None
    """CPU model number or range."""
    processor: str | None = None
    """Part of the processor's name, any case."""
    cpu_flags: tuple[str, ...] = ()
    """Flags that must all be there."""
    physical_cpus: int | str | None = None
    """Physical cores or range."""
    cores: int | str | None = None
    """Logical CPUs or range."""
    memory: str | int | None = None
    """Memory of the node, or range: ``16Gi+``."""
    gpu: Gpu | None = None
    """GPUs of the node."""
    os: str | None = None
    """ID of os-release, with an optional version: ``debian``, ``debian>=12``."""
    kernel: str | None = None
    """Kernel release specifier: ``>=5.15``."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that the operator gave the node."""
    any_of: tuple[HardwareRequirement, ...] = ()
    """At least one of these must hold as well."""
    ordered: tuple[HardwareRequirement, ...] = ()
    """The first of these that some node meets must hold as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """How the environment is built."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    resources: Resources = Resources()
    """Limits of each build job."""
    hardware: HardwareRequirement = HardwareRequirement()
    """Where it may be built."""
    timeout: str | float = "30m"
    """Time for each build job."""
    targets: tuple[str, ...] = ()
    """Names of targets, in order of preference. Default: this machine, else an engine on it."""
    package: tuple[Package, ...] = ()
    """What the environment is packaged as beside what it runs from: ``image`` (OCI), ``sif`` (Apptainer), ``archive`` (tar.gz)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What is run in the environment. ``script`` or ``command``."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    script: File | str | None = None
    """The script: a path relative to the request file, or a file with its content. Its shebang names the interpreter; without one a
    ``.py`` file runs under the environment's Python and anything else under ``/bin/sh``."""
    command: tuple[str, ...] = ()
    """An argument vector, instead of a script."""
    arguments: tuple[str, ...] = ()
    """Arguments of the script."""
    repeat: int = 1
    """How many measured runs."""
    warmup: int = 0
    """Runs before them that are kept but not counted."""
    resources: Resources = Resources()
    """Limits of each run."""
    hardware: HardwareRequirement = HardwareRequirement()
    """Where it may run."""
    network: bool = False
    """Whether the script may use the network."""
    timeout: str | float = "10m"
    """Time for each run."""
    targets: tuple[str, ...] = ("local",)
    """Names of targets, in order of preference: ``local``, this machine; ``podman`` or ``docker``, containers on it."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the run alone."""
    secrets: tuple[str, ...] = ()
    """Names of secrets of the namespace; the job finds each as a file in the folder that ``DJED_SECRETS`` names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request: an environment, what to run in it, and where."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: str = "inspection"
    """A name for people; letters, digits, ``.``, ``_`` and ``-``."""
    environment: Environment = Environment()
    """What to assemble."""
    build: Build = Build()
    """How to build it."""
    run: Run | None = None
    """What to run in it. Left out: build only."""
    sandbox: SandboxLevel | None = None
    """The weakest sandbox that is acceptable. Default: the best that is there."""
    reuse: Reuse = "artifact"
    """``artifact``: build once, measure again. ``result``: an identical inspection that succeeded is the answer.
    ``nothing``: do all anew."""
    until: Until = "run"
    """How far to go: ``lock`` resolves the environment only, ``build`` runs nothing."""
    priority: int = 0
    """Higher goes first."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Free labels, kept with the results."""
