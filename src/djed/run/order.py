"""From an attempt to what the shim is told to do (``job.json``): every place, variable and limit filled in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from djed.errors import MissingPartError, RefusedError
from djed.model.job import Attempt, Job, Place
from djed.run import places, secrets
from djed.run.interface import Materials
from djed.run.sandbox import Bind, Inside, Sandbox, bubblewrap

__all__ = ["Site", "order"]

_PACKAGES = "/djed/packages"
_TMP_DISK = 2**30
_UV_CONFIG = "/djed/uv.toml"
_DEVICES = Path("/dev")


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


def order(
    attempt: Attempt, directory: Path, sandbox: Sandbox, *, site: Site, materials: Materials
) -> dict[str, Any]:
    """What the shim is told. Raises ``RefusedError``, ``MissingPartError``, or what ``materials`` raises."""
    job = attempt.job
    real = _real_places(attempt, directory, site, materials)
    wheels = {digest.rpartition(":")[2]: str(materials.artifact(digest)) for digest in job.wheels}
    config = _uv_config(job, site.environ)
    boxed = sandbox.level == "bwrap"
    seen = _places_inside(job, attempt.name, real) if boxed else real
    resolved = places.resolve(job, seen)
    variables = _variables(job, seen, site, _UV_CONFIG if boxed and config else config)
    confided = secrets.plan(attempt.name, job, directory, sandbox)
    variables |= {**resolved.variables, **secrets.variables(confided)}
    wrap: list[str] = []
    if boxed:
        inside = Inside(
            binds=(
                *_binds(job, real, seen, site),
                *(Bind(source=path, target=f"{seen['wheels']}/{name}") for name, path in wheels.items()),
                *([Bind(source=config, target=_UV_CONFIG)] if config else []),
                *_local_files(places.passed_through(job, site.environ)),
                *_devices(job),
            ),
            variables=variables,
            work=seen["work"],
            network=job.network,
            memory_disk=min(job.limits.disk, job.limits.memory or _TMP_DISK, _TMP_DISK),
        )
        wrap = bubblewrap(sandbox, inside, site.etc)
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
        "wrap": wrap,
        "cpus": list(attempt.cpus),
        "limits": {
            name: getattr(job.limits, name)
            for name in ("cpu", "memory", "processes", "timeout", "output", "disk")
        },
        "hardware": str(site.data / "node.json"),
        "secrets": confided,
    }


def _variables(job: Job, seen: places.Places, site: Site, uv_config: str | None) -> dict[str, str]:
    """All but the job's own."""
    variables = places.base_variables(job, seen) | places.passed_through(job, site.environ)
    if uv_config is not None:
        variables["UV_CONFIG_FILE"] = uv_config
    if job.limits.gpu:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(job.limits.gpu)))
    return variables


def _real_places(attempt: Attempt, directory: Path, site: Site, materials: Materials) -> dict[Place, str]:
    """Where everything is on the machine itself."""
    job = attempt.job
    outputs = directory / "outputs" if job.cache != "shared" else site.packages / "staging" / attempt.name
    found: dict[Place, str] = {"work": str(directory / "inputs"), "outputs": str(outputs)}
    if job.environment is not None:
        found["env"] = str(materials.artifact(job.environment))
    if job.wheels:
        found["wheels"] = str(directory / "wheels")
    if job.cache != "none":
        found["cache"] = str(site.packages / "uv" if job.cache == "shared" else directory / "cache")
    if job.python is not None:
        found["python"] = job.python
    if site.uv is not None:
        found["uv"] = site.uv
    return found


def _places_inside(job: Job, name: str, real: places.Places) -> dict[Place, str]:
    """The places as a job sees them in the sandbox."""
    seen: dict[Place, str] = {place: f"/djed/{place}" for place in real}
    if "python" in real:
        seen["python"] = real["python"]
    if "uv" in real:
        seen["uv"] = "/djed/bin/uv"
    if job.cache == "shared":
        seen |= {"cache": f"{_PACKAGES}/uv", "outputs": f"{_PACKAGES}/staging/{name}"}
    return seen


def _binds(job: Job, real: places.Places, seen: places.Places, site: Site) -> Iterator[Bind]:
    """What makes the places be where the job sees them."""
    together: set[Place] = {"cache", "outputs"} if job.cache == "shared" else set()
    for place in real.keys() - together - {"python", "wheels"}:
        writable = place in {"work", "outputs", "cache"}
        yield Bind(source=real[place], target=seen[place], writable=writable)
    if together:
        yield Bind(source=str(site.packages), target=_PACKAGES, writable=True)
    if "python" in real:
        yield from _interpreter(real["python"], site)


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


def _local_files(passed: Mapping[str, str]) -> list[Bind]:
    """Certificates and wheel folders that variables of ours name."""
    named = [
        *passed.get("SSL_CERT_FILE", "").split("\0"),
        *passed.get("SSL_CERT_DIR", "").split(":"),
        *passed.get("UV_FIND_LINKS", "").replace(",", " ").split(),
    ]
    known = ("/usr/", "/etc/ssl/certs")
    return [
        Bind(source=os.path.realpath(path), target=path)
        for path in dict.fromkeys(named)
        if path.startswith("/") and not path.startswith(known) and Path(path).exists()
    ]


def _uv_config(job: Job, environ: Mapping[str, str]) -> str | None:
    """The file in which the user configured uv's indexes, for jobs that fetch packages."""
    if not job.network or job.kind == "run":
        return None
    home = environ.get("XDG_CONFIG_HOME") or environ.get("HOME", "") + "/.config"
    candidates = (environ.get("UV_CONFIG_FILE"), f"{home}/uv/uv.toml", "/etc/uv/uv.toml")
    return next((path for path in candidates if path and Path(path).is_file()), None)


def _devices(job: Job) -> list[Bind]:
    if not job.limits.gpu:
        return []
    devices = sorted(map(str, _DEVICES.glob("nvidia*")))
    if not devices:
        raise MissingPartError("The job asks for a GPU, but this machine shows none under /dev.")
    return [Bind(source=path, target=path, writable=True, device=True) for path in devices] + [
        Bind(source="/sys", target="/sys")
    ]
