"""Sandboxes around jobs: what there is to say of one, and which level a job gets. Each level's own module makes its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from djed.errors import RefusedError
from djed.model.engine import ENGINE_TARGETS, ContainerEngine
from djed.model.job import Job, Limits
from djed.model.request import SANDBOX_LEVELS, SandboxLevel

__all__ = ["Bind", "Inside", "Sandbox", "Wrap", "Wrapper", "choose", "needs_engine"]

_USUAL: SandboxLevel = "bwrap"
"""The strongest level that a job gets without asking: what is above costs more than it may be worth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bind:
    """A file or folder of the machine that the job sees."""

    source: str
    target: str
    writable: bool = False
    device: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """A level that works here, and the tool for it."""

    level: SandboxLevel
    tool: str | None = None
    """Tool and version: ``bubblewrap 0.8.0``."""
    path: str | None = None
    """The tool's executable."""
    arguments: tuple[str, ...] = ()
    """Arguments without which the tool does not work here."""
    engine: ContainerEngine | None = None
    """The container engine that makes it."""
    needs_image: bool = False
    """Whether it cannot give a job the machine's own file system."""

    def is_recent(self) -> bool:
        """Whether bubblewrap knows ``--disable-userns`` and ``--size``; 0.8.0 does, and older systems carry an older one."""
        return tuple(map(int, re.findall(r"\d+", self.tool or "")[:2])) >= (0, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """What a sandbox is to set up for one job."""

    binds: tuple[Bind, ...]
    """Later ones may lie in earlier ones."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """All that the command finds in its environment."""
    work: str = "/"
    """Where the command starts."""
    network: bool = False
    memory_disk: int = 2**30
    """Bytes of each of /tmp and /dev/shm, which lie in memory."""
    root: str | None = None
    """Folder with the unpacked root of the job's image, for a job that runs in one. Nobody may write in it."""
    name: str = ""
    """Of the attempt: what lives on without us is found by it again."""
    limits: Limits = Limits()
    """They hold without the sandbox: the shim sees to it for all that descends from it."""
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrap:
    """What goes around a job's command."""

    argv: tuple[str, ...]
    """Stands before the command's own arguments."""
    speaks: Literal["bwrap", "engine", "runtime"] = "engine"
    """How it tells the end of the command: ``bwrap`` by bubblewrap's status descriptor; the others by their exit code as podman and docker
    do: 125 where it failed itself, 126 and 127 where the command could not be started, 128 and more for a signal. What an ``engine`` starts
    may not descend from it; of a ``runtime`` all does, and is held with it."""
    files_at: int = 1
    """With ``bwrap``: where in ``argv`` the shim adds the files of secrets, after what they are to lie in."""
    bundle: Mapping[str, Any] | None = None
    """For a runtime that takes no command: what ``config.json`` in the job directory says; the command is added to its arguments."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Environment of the tool itself, also for ``after``; the command's own is that of :class:`Inside`."""
    stop: tuple[str, ...] = ()
    """Argument vector that sends the command a SIGTERM; where it is empty, the tool itself passes on the one that it gets."""
    after: tuple[tuple[str, ...], ...] = ()
    """Argument vectors that remove what it left outside. Harmless where nothing is there, and when run again."""


Wrapper = Callable[[Sandbox, Inside, Path], Wrap]
"""Makes the wrap of one level; the path is the folder with files of /etc that are made up for sandboxes."""


def needs_engine(job: Job, floor: str | None) -> bool:
    """Whether something above bubblewrap must be looked for before a level is chosen."""
    floors = (job.sandbox or "none", floor or "none")
    return job.engine or job.target in ENGINE_TARGETS or max(map(_rank, floors)) > _rank(_USUAL)


def choose(present: Sequence[Sandbox], floors: Sequence[str | None], job: Job) -> Sandbox:
    """The level for a job: the strongest up to ``bwrap``; where a floor is above that, the weakest that meets it.

    A job inside an image needs at least ``bwrap``: there is no other way to give it another file system. One that calls a container engine
    gets no sandbox from us, for the engine confines what it runs. Raises ``RefusedError`` where nothing that works here is enough.
    """
    if (
        job.target in ENGINE_TARGETS and not job.tools
    ):  # our own code runs on the machine itself, whoever runs the rest
        present = [one for one in present if one.engine is not None and one.engine.name == job.target]
        if not present:
            raise RefusedError(
                f"No container runs by {job.target} here.", hint="What is wrong with it says: djed doctor"
            )
        if not job.inside:
            raise RefusedError(
                f"{job.target} runs jobs in images, and this one runs on the machine's own files.",
                hint="Give the environment a base image.",
            )
    if job.engine:
        plain = (one for one in present if one.level in {"none", "process"})
        return max(plain, key=_strength, default=Sandbox(level="process"))
    floor = (
        max((*floors, _USUAL if job.inside else "none"), key=lambda level: _rank(level or "none")) or "none"
    )
    fitting = [
        one for one in present if _strength(one) >= _rank(floor) and (job.inside or not one.needs_image)
    ]
    usual = [one for one in fitting if _strength(one) <= _rank(_USUAL)]
    if usual:
        return max(usual, key=_strength)
    if fitting:
        return min(fitting, key=_strength)
    if any(_strength(one) >= _rank(floor) for one in present):
        raise RefusedError(
            f"Sandbox level {floor!r} is required; what gives it here needs an image, and this job runs on the machine's own files.",
            hint="Give the environment a base image, or ask for a weaker level.",
        )
    best = max(present, key=_strength).level
    if job.inside and floor == _USUAL:
        raise RefusedError(
            f"A job in an image needs at least sandbox level {floor!r}, but the strongest that works here is {best!r}.",
            hint="Install bubblewrap (bwrap) or podman.",
        )
    raise RefusedError(
        f"Sandbox level {floor!r} is required, but the strongest that works here is {best!r}.",
        hint="Install bubblewrap (bwrap), or ask for a weaker level." if floor == "bwrap" else None,
    )


def _strength(sandbox: Sandbox) -> int:
    return _rank(sandbox.level)


def _rank(level: str) -> int:
    levels: tuple[str, ...] = SANDBOX_LEVELS
    return levels.index(level)
