"""What of our own environment reaches a job, by allow-list: proxies, certificates, indexes and the files that they name.

For jobs that call a container engine also how that is configured.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from djed.errors import MissingPartError
from djed.model.codec import encode
from djed.model.engine import ContainerEngine
from djed.model.job import Job
from djed.run.sandbox import Bind

__all__ = ["Brought", "brought", "engine_variables", "passed_through"]

_PROXY = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_INDEXES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_SYSTEM_CERTS",
)
_ENGINE = (
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "REGISTRY_AUTH_FILE",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
)
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_LOCAL = "/djed/local"


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """What a job gets of it."""

    variables: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[Bind, ...] = ()
    """The files that the variables name, where a sandbox would hide them."""


def brought(job: Job, environ: Mapping[str, str], *, boxed: bool) -> Brought:
    """What the job gets; ``boxed``: it sees only what is bound for it."""
    passed = passed_through(job, environ)
    if not boxed:
        return Brought(variables=passed)
    if not job.inside:
        return Brought(variables=passed, binds=_local_files(passed))
    return _into_image(passed) if job.network else Brought()


def passed_through(job: Job, environ: Mapping[str, str]) -> dict[str, str]:
    """What a job with network gets of our environment: proxies and certificates; a build also the indexes that uv is configured with."""
    if not job.network:
        return {}
    names = _PROXY + _CERTIFICATES + (_INDEXES if job.kind != "run" else ())
    return {name: environ[name] for name in names if environ.get(name)}


def engine_variables(
    job: Job, engines: tuple[ContainerEngine, ...], environ: Mapping[str, str], *, floor: str = "none"
) -> dict[str, str]:
    """What a job that calls a container engine finds: which one, and how the user configured it; ``HOME`` is his own for that.

    The target's own engine comes first. Above the floor ``process`` one does not count that can only build without confining what it runs.
    Raises ``MissingPartError`` where a job that builds has no engine. Others may do without: skopeo copies images, too.
    """
    strict = not {floor, job.sandbox or "none"} <= {"none", "process"}
    able = [
        engine
        for engine in sorted(engines, key=lambda engine: engine.name != job.target)
        if job.kind != "native" or (engine.builds and (engine.confines or not strict))
    ]
    if not able and job.kind == "native":
        raise MissingPartError(
            "Native packages are installed by a container engine, and none that builds works here.",
            hint="Install podman, buildah or Docker; `djed doctor` says what is wrong with one that is there.",
        )
    names = _ENGINE + _PROXY + _CERTIFICATES
    variables = {name: environ[name] for name in names if environ.get(name)}
    variables["HOME"] = environ.get("HOME") or str(Path.home())
    if able:
        variables["DJED_ENGINE"] = json.dumps(encode(able[0]))
        # An image that the user has may be with another one than builds best.
        variables["DJED_ENGINES"] = json.dumps(encode(able))
    return variables


def _local_files(passed: Mapping[str, str]) -> tuple[Bind, ...]:
    """Certificates and wheel folders that variables of ours name."""
    named = [
        *passed.get("SSL_CERT_FILE", "").split("\0"),
        *passed.get("SSL_CERT_DIR", "").split(":"),
        *passed.get("UV_FIND_LINKS", "").replace(",", " ").split(),
    ]
    known = ("/usr/", "/etc/ssl/certs")
    return tuple(
        Bind(source=os.path.realpath(path), target=path)
        for path in dict.fromkeys(named)
        if path.startswith("/") and not path.startswith(known) and Path(path).exists()
    )


def _into_image(passed: Mapping[str, str]) -> Brought:
    """The same for a job in an image, which has no such folders: the files lie in one of ours.

    The network is the machine's, so it is trusted by the machine's certificates; an image may have none at all.
    """
    variables = dict(passed)
    if not Path(variables.get("SSL_CERT_FILE", "")).is_file():
        variables.pop("SSL_CERT_FILE", None)
        bundle = next((path for path in _BUNDLES if Path(path).is_file()), None)
        variables |= {"SSL_CERT_FILE": bundle} if bundle and "SSL_CERT_DIR" not in variables else {}
    moved: dict[str, str] = {}

    def move(path: str) -> str:
        return moved.setdefault(path, f"{_LOCAL}/{len(moved)}") if Path(path).exists() else path

    for name, separator in (("SSL_CERT_FILE", "\0"), ("SSL_CERT_DIR", ":"), ("UV_FIND_LINKS", ",")):
        if name in variables:
            parts = re.split(r"[,\s]+" if separator == "," else separator, variables[name])
            variables[name] = separator.join(move(part) if part.startswith("/") else part for part in parts)
    binds = (Bind(source=os.path.realpath(path), target=target) for path, target in moved.items())
    return Brought(variables=variables, binds=tuple(binds))
