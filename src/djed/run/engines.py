"""Which container engines work on this machine, and how. A feature counts when it has really worked; no version is trusted to have it.

To try costs seconds, so the answer is remembered in ``engines.json`` until the next boot, or until an executable, a daemon's socket or what
points at them changes. Nothing here is asked for jobs on the machine's own files.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from djed.errors import DjedError
from djed.model.codec import decode, encode
from djed.model.engine import ContainerEngine
from djed.run import engine_trials
from djed.toolbox.folder import writing

__all__ = ["probe", "reasons", "remembered"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FILE = "engines.json"
_NAMES = ("podman", "buildah", "docker")
_BEST = {"podman": 5, "buildah": 3, "docker": 5}
_RUNTIMES = ("crun", "runc")
_STEERING = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "HOME"),
    *("CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER"),
)


def probe(data: Path, *, again: bool = False) -> tuple[ContainerEngine, ...]:
    """The engines that work here, the preferred one first; the first time, or ``again``, they are tried, which takes seconds.

    Raises ``StoreError`` where the data folder cannot be written.
    """
    known = None if again else _recall(data)
    return _engines(known if known is not None else _try(data))


def remembered(data: Path) -> tuple[ContainerEngine, ...] | None:
    """What was found before and still holds; ``None`` where nobody looked since. Starts no process."""
    known = _recall(data)
    return None if known is None else _engines(known)


def reasons(data: Path) -> Mapping[str, str]:
    """Why an engine is not among those that work, or cannot do all, as a sentence by its name; empty before anybody looked."""
    known = _recall(data) or {}
    return {str(name): str(reason) for name, reason in known.get("reasons", {}).items()}


def _engines(known: Mapping[str, Any]) -> tuple[ContainerEngine, ...]:
    return tuple(decode(ContainerEngine, one) for one in known["engines"])


def _recall(data: Path) -> dict[str, Any] | None:
    try:
        known = dict(json.loads((data / _FILE).read_bytes()))
        return known if known["key"] == _key() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key() -> list[Any]:
    """What the answer rests on, as JSON gives it back."""
    files = [
        path for name in (*_NAMES, *_RUNTIMES, "newuidmap", "fuse-overlayfs") for path in everywhere(name)
    ]
    limits = [list(resource.getrlimit(which)) for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)]
    return [
        _BOOT_ID.read_text(encoding="ascii").strip(),
        os.geteuid(),
        limits,
        {name: os.environ[name] for name in _STEERING if name in os.environ},
        [[str(path), *_identity(path)] for path in (*files, *_sockets(), *_configuration())],
    ]


def _identity(path: Path) -> list[Any]:
    """What tells one file from another that lies there later, and whether we may use it: a daemon makes its socket anew."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_ino, found.st_mtime_ns, os.access(path, os.R_OK | os.W_OK)]


def _sockets() -> Iterator[Path]:
    host = os.environ.get("DOCKER_HOST", "")
    if host.startswith("unix://"):
        yield Path(host.removeprefix("unix://"))
    yield Path("/var/run/docker.sock")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "docker.sock")


def _configuration() -> Iterator[Path]:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for folder in (Path("/etc/containers"), home / "containers"):
        yield from (folder / name for name in ("containers.conf", "storage.conf"))
    yield Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker", "config.json")


def everywhere(name: str) -> list[Path]:
    """Every executable of that name on the PATH, in its order: one may work where another does not."""
    found: dict[str, Path] = {}
    for folder in os.get_exec_path():
        if path := shutil.which(name, path=folder):
            found.setdefault(os.path.realpath(path), Path(path).absolute())
    return list(found.values())


def _try(data: Path) -> dict[str, Any]:
    """Try them all, at once, and remember the outcome."""
    key = _key()
    with engine_trials.Ground.made(data) as ground, ThreadPoolExecutor(len(_NAMES)) as pool:
        found = list(pool.map(lambda name: _first(name, ground), _NAMES))
    known: dict[str, Any] = {
        "key": key,
        "engines": [encode(engine) for engine, _ in found if engine is not None],
        "reasons": {name: reason for name, (_, reason) in zip(_NAMES, found, strict=True) if reason},
    }
    draft = data / f"{_FILE}.{secrets.token_hex(4)}"
    with writing(data / _FILE):
        draft.write_text(json.dumps(known), encoding="utf-8")
        draft.replace(data / _FILE)
    return known


def _first(name: str, ground: engine_trials.Ground) -> tuple[ContainerEngine | None, str | None]:
    """The first executable of that name that can do anything; and the reason, where none can do all."""
    found = everywhere(name)
    if not found:
        return None, f"{name} is not on this machine."
    best, complaints = None, []
    for path in found:
        try:
            outcome = engine_trials.TRIALS[name](path, ground)
        except DjedError as error:
            complaints.append(_sentence(error))
            continue
        complaints += outcome.complaints
        if best is None or _worth(outcome.engine) > _worth(best):
            best = outcome.engine
        if _worth(outcome.engine) == _BEST[name]:
            break
    able = best is not None and _worth(best) >= _BEST[name] - 1
    return best, None if able else " ".join(dict.fromkeys(complaints))


def _worth(engine: ContainerEngine) -> int:
    """BuildKit shares caches between builds, which Docker without it cannot."""
    return 2 * (engine.runs + engine.builds) + (engine.variables.get("DOCKER_BUILDKIT") != "0")


def _sentence(error: DjedError) -> str:
    return f"{error.message} {error.hint}" if error.hint else error.message
