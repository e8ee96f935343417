"""From an attempt to what the shim is told to do (``job.json``): every place, variable and limit filled in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import djed
from djed.errors import NotFoundError, RefusedError, RunnerError
from djed.model.engine import ContainerEngine
from djed.model.job import Attempt, Job, Place
from djed.model.request import SandboxLevel
from djed.run import gpu, passing, places, secrets
from djed.run.interface import Materials
from djed.run.levels import WRAPS
from djed.run.sandbox import Bind, Inside, Sandbox, Wrap, Wrapper
from djed.toolbox import rootfs

__all__ = ["Site", "order"]

_PACKAGES = "/djed/packages"
_LIMITS = ("cpu", "memory", "processes", "timeout", "output", "disk")
_TMP_DISK = 2**30
_UV_CONFIG = "/djed/uv.toml"
_INTERPRETER = os.path.realpath(sys.executable)
_PACKAGE = str(Path(djed.__file__).resolve().parent)
# Where they are inside, for those that are not at /djed/<place>.
_INSIDE: Mapping[Place, str] = {"uv": "/djed/bin/uv", "djed": "/djed/lib/djed"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What a runner knows of its machine."""

    data: Path
    """The engine's data folder, never visible to a job."""
    packages: Path
    """Holds uv's shared cache, and beside it the outputs of jobs that use it: hard links do not cross a mount."""
    etc: Path
    """Files of /etc made up for the sandbox."""
    node: str
    uv: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    """The engine's own environment, of which little is passed on."""
    engines: tuple[ContainerEngine, ...] = ()
    """Container engines that work here, the preferred one first."""
    floor: SandboxLevel = "none"
    """The weakest level that the operator accepts."""


def order(
    attempt: Attempt,
    directory: Path,
    sandbox: Sandbox,
    *,
    site: Site,
    materials: Materials,
    wraps: Mapping[SandboxLevel, Wrapper] = WRAPS,
) -> dict[str, Any]:
    """What the shim is told; a level that is not in ``wraps`` has nothing around its jobs.

    Raises ``RefusedError``, ``MissingPartError``, or what ``materials`` raises.
    """
    job = attempt.job
    make = None if job.engine else wraps.get(sandbox.level)
    real = _real_places(attempt, directory, site, materials)
    wheels = {digest.rpartition(":")[2]: str(materials.artifact(digest)) for digest in job.wheels}
    config = _uv_config(job, site.environ)
    seen = _places_inside(job, attempt.name, real) if make else real
    resolved = places.resolve(job, seen)
    brought = passing.brought(job, site.environ, boxed=make is not None)
    confided = secrets.plan(attempt.name, job, directory, sandbox)
    own = {**places.base_variables(job, seen), **brought.variables}
    own |= {} if config is None else {"UV_CONFIG_FILE": _UV_CONFIG if make else config}
    own |= passing.engine_variables(job, site.engines, site.environ, floor=site.floor) if job.engine else {}
    variables = places.merged(job, seen, own, resolved.variables)
    variables |= gpu.variables(job, variables) | secrets.variables(confided, boxed=make is not None)
    wrap = Wrap(argv=(), environ=variables, after=_clean(job, real)) if job.engine else Wrap(argv=())
    if make is not None:
        binds = (*_binds(job, real, seen, site), *_wheels(wheels, seen), *brought.binds, *gpu.binds(job))
        binds += (*([Bind(source=config, target=_UV_CONFIG)] if config else []), *secrets.binds(confided))
        wrap = make(sandbox, _inside(attempt, real, seen, binds=binds, variables=variables), site.etc)
    return {
        "name": attempt.name,
        "node": attempt.node or site.node,
        "command": list(resolved.command),
        "environ": variables,
        "cwd": real["work"],
        "places": seen,
        "wheels": wheels,
        "directories": [real["work"], real["outputs"], *([real["cache"]] if job.cache == "private" else [])],
        "level": sandbox.level,
        "tool": sandbox.tool,
        **_around(wrap, spoken=make is not None),
        "engine": job.engine,
        "cpus": list(attempt.cpus),
        "limits": {name: getattr(job.limits, name) for name in _LIMITS},
        "hardware": str(site.data / "node.json"),
        "secrets": confided,
    }


def _wheels(wheels: Mapping[str, str], seen: places.Places) -> Iterator[Bind]:
    for name, path in wheels.items():
        yield Bind(source=path, target=f"{seen['wheels']}/{name}")


def _inside(
    attempt: Attempt,
    real: places.Places,
    seen: places.Places,
    *,
    binds: tuple[Bind, ...],
    variables: Mapping[str, str],
) -> Inside:
    """What a sandbox is to set up for the attempt."""
    job = attempt.job
    return Inside(
        binds=binds,
        variables=variables,
        work=seen["work"],
        network=job.network,
        memory_disk=min(job.limits.disk, job.limits.memory or _TMP_DISK, _TMP_DISK),
        root=_root(real["image"]) if job.inside else None,
        name=attempt.name,
        limits=job.limits,
        cpus=attempt.cpus,
    )


def _around(wrap: Wrap, *, spoken: bool) -> dict[str, Any]:
    """What the shim does around the command."""
    return {
        "wrap": list(wrap.argv),
        "speaks": wrap.speaks if spoken else None,
        "files_at": wrap.files_at,
        "bundle": wrap.bundle,
        "wrap_environ": dict(wrap.environ),
        "stop": list(wrap.stop),
        "after": [list(argv) for argv in wrap.after],
    }


def _clean(job: Job, real: places.Places) -> tuple[tuple[str, ...], ...]:
    """What removes from an engine what a job has left there that was killed."""
    if not job.tools:
        return ()
    program = (real["interpreter"], "-I", "-S", f"{real['djed']}/build/inside")
    return ((*program, "clean", real["work"], real["outputs"]),)


def _real_places(attempt: Attempt, directory: Path, site: Site, materials: Materials) -> dict[Place, str]:
    """Where everything is on the machine itself."""
    job = attempt.job
    outputs = directory / "outputs" if job.cache != "shared" else site.packages / "staging" / attempt.name
    found: dict[Place, str] = {"work": str(directory / "inputs"), "outputs": str(outputs)}
    if job.environment is not None:
        found["env"] = str(materials.artifact(job.environment))
    if job.image is not None:
        found["image"] = str(materials.artifact(job.image))
    elif job.inside:
        raise RunnerError("The job is to run inside an image, but names none.")
    if job.source is not None:
        found["source"] = _source(job.source, site)
    if job.wheels:
        found["wheels"] = str(directory / "wheels")
    if job.cache != "none":
        found["cache"] = str(site.packages / "uv" if job.cache == "shared" else directory / "cache")
    if job.python is not None:
        found["python"] = job.python
    return found | _programs(job, site)


def _programs(job: Job, site: Site) -> dict[Place, str]:
    """What of ours the job runs."""
    found: dict[Place, str] = {} if site.uv is None else {"uv": site.uv}
    if job.tools:
        found["djed"] = _PACKAGE
    if job.tools and not job.inside:  # an image may have another C library
        found["interpreter"] = _INTERPRETER
    return found


def _source(path: str, site: Site) -> str:
    """The file or folder that the job reads, by its real path. Raises ``NotFoundError``, ``RefusedError``."""
    real = Path(os.path.realpath(path))
    if not real.exists():
        raise NotFoundError(f"{path} is not there any more.")
    if site.data.resolve().is_relative_to(real):
        raise RefusedError(
            f"{path} cannot be shown to a job: the data folder of the engine is in it.",
            hint="Name a folder that holds nothing but the image.",
        )
    return str(real)


def _root(image: str) -> str:
    """The root in an image's folder. Raises ``UnsafeError`` where a sandbox on it would reach out of it."""
    root = Path(image, "root")
    rootfs.check(root)
    return str(root)


def _places_inside(job: Job, name: str, real: places.Places) -> dict[Place, str]:
    """The places as a job sees them in the sandbox."""
    seen: dict[Place, str] = {place: _INSIDE.get(place, f"/djed/{place}") for place in real}
    for place in ("python", "interpreter"):
        if place in real:
            seen[place] = real[place]
    if job.cache == "shared":
        seen |= {"cache": f"{_PACKAGES}/uv", "outputs": f"{_PACKAGES}/staging/{name}"}
    return seen


def _binds(job: Job, real: places.Places, seen: places.Places, site: Site) -> Iterator[Bind]:
    """What makes the places be where the job sees them."""
    together: set[Place] = {"cache", "outputs"} if job.cache == "shared" else set()
    for place in real.keys() - together - {"python", "interpreter", "wheels"}:
        writable = place in {"work", "outputs", "cache"}
        yield Bind(source=real[place], target=seen[place], writable=writable)
    if together:
        yield Bind(source=str(site.packages), target=_PACKAGES, writable=True)
    if not job.inside:  # else the interpreter is the image's
        paths = [real[place] for place in ("python", "interpreter") if place in real]
        yield from dict.fromkeys(bind for path in paths for bind in _interpreter(path, site))


def _interpreter(path: str, site: Site) -> list[Bind]:
    """The installation that an interpreter lives in, where the sandbox has it not already."""
    prefix = Path(path).resolve().parent.parent
    if prefix.is_relative_to("/usr"):
        return []
    if any(secret.resolve().is_relative_to(prefix) for secret in (site.data, Path.home())):
        raise RefusedError(
            f"The interpreter {path} cannot be shown to a sandbox: {prefix} holds more than it.",
            hint="Install Python in a folder of its own.",
        )
    return [Bind(source=str(prefix), target=str(prefix))]


def _uv_config(job: Job, environ: Mapping[str, str]) -> str | None:
    """The file in which the user configured uv's indexes, for jobs that fetch packages."""
    if not job.network or job.kind == "run":
        return None
    home = environ.get("XDG_CONFIG_HOME") or environ.get("HOME", "") + "/.config"
    candidates = (environ.get("UV_CONFIG_FILE"), f"{home}/uv/uv.toml", "/etc/uv/uv.toml")
    return next((path for path in candidates if path and Path(path).is_file()), None)
