"""What an attempt left behind (``result.json`` and what lies beside it)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OutputFile", "Result", "Stream"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """One captured stream; its bytes are a blob."""

    size: int = 0
    """Bytes that the job wrote."""
    kept: int = 0
    """Bytes that were kept: the head and, where cut, a marker line and the tail."""
    truncated: bool = False
    digest: str | None = None
    """``sha256:…`` of what was kept; ``None`` when empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputFile:
    """A regular file in ``outputs``. Links, devices and the like are listed in ``Result.skipped`` and never followed."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The raw result of an attempt, before it is interpreted."""

    exit_code: int | None = None
    """Exit code of the command; ``None`` where a signal ended it or it never started."""
    signal: int | None = None
    """Number of the signal that ended it."""
    error: str | None = None
    """Why it never started (``interpreter not found: …``), as a sentence."""
    timed_out: bool = False
    out_of_memory: bool = False
    disk_exceeded: bool = False
    cancelled: bool = False
    lost: bool = False
    """The attempt vanished without a result: its machine or supervisor died."""
    started_at: float = 0.0
    """Unix time."""
    ended_at: float = 0.0
    duration: float = 0.0
    """Seconds of the command by the monotonic clock."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """getrusage(RUSAGE_CHILDREN), keys ``ru_utime`` …, as Amun had them."""
    peak_memory: int | None = None
    """Bytes, by the cgroup where there is one."""
    stdout: Stream = Stream()
    stderr: Stream = Stream()
    outputs: tuple[OutputFile, ...] = ()
    skipped: tuple[str, ...] = ()
    """What in ``outputs`` was not kept, each with its reason."""
    hostname: str = ""
    node: str = ""
    cpus: tuple[int, ...] = ()
    """CPUs it was held to."""
    sandbox: str = "none"
    """Level used."""
    sandbox_tool: str | None = None
    """Tool and version, ``bubblewrap 0.8.0``."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """What enforced each limit: ``{"memory": "cgroup-v1", "cpu": "affinity", "processes": "rlimit"}``."""
    hardware: Mapping[str, Any] = field(default_factory=dict)
    """hwinfo.json as seen in the job: superset of Amun's § hwinfo."""
