"""The level ``container``: what podman or Docker is told of a job.

The job has the engine's own seccomp filter, no capability and no way to one, a read-only root, memory for /tmp, and no network unless it
asked. Its user is the one that Djed has, so that what it leaves is ours; with podman that is another one in the container, as it is with
bubblewrap. The limits are those of the control group that the shim makes, into which the engine puts the container; where an engine cannot
do that, its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from djed.errors import RunnerError, ToolError
from djed.model.engine import ContainerEngine
from djed.run import docker_image, system
from djed.run.loader import loader_of
from djed.run.sandbox import Bind, Inside, Sandbox, Wrap

__all__ = ["GROUP", "INIT", "container", "docker", "environment", "init", "podman", "sandbox", "wrap"]

GROUP = "--cgroup-parent={group}"
"""The shim fills in the group that it made."""

_NOBODY = 65534
_STRANGER = 2**31 - 2
"""Who is root in a user namespace; nobody on the machine, for no file is to be root's in the container."""
INIT = "/djed/init"
# Static programs that start another one, pass signals on and take in orphans: what a first process has to do.
_INITS = ("catatonit", "tini-static", "docker-init", "tini")
_INIT_FOLDERS = ("/usr/libexec/podman", "/usr/lib/podman", "/usr/libexec/catatonit", "/usr/libexec/docker")
_OF_OURS = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR"),
    *("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"),
    *("CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF"),
    *("STORAGE_DRIVER", "STORAGE_OPTS", "REGISTRY_AUTH_FILE"),
)


def sandbox(engine: ContainerEngine) -> Sandbox:
    """The level that this engine gives."""
    runtime = f", {engine.runtime}" if engine.runtime else ""
    tool = f"{engine.name} {engine.version}{runtime}"
    return Sandbox(level="container", tool=tool, path=engine.path, engine=engine, needs_image=True)


def wrap(level: Sandbox, inside: Inside, etc: Path) -> Wrap:
    """The wrap of the level ``container``. Raises ``RunnerError`` for a job without an image, and what loading the image raises."""
    if level.engine is None or inside.root is None:
        raise RunnerError("A container needs an engine and an image.")
    return container(level.engine, inside, etc)


def container(engine: ContainerEngine, inside: Inside, etc: Path) -> Wrap:
    """What goes around a command. With Docker the image of ``inside`` is loaded where it is not there. Raises ``DjedError``."""
    assert inside.root is not None
    told = environment(engine, os.environ)
    binds = (*inside.binds, *system.etc_of_image(etc, network=inside.network))
    if engine.name == "docker":
        image = docker_image.load(engine, Path(inside.root).parent, told, etc.parent)
        argv = docker(engine, inside, binds, image)
        remove: tuple[str, ...] = ("rm", "--force", inside.name)
    else:
        argv = podman(engine, inside, binds)
        remove = ("rm", "--force", "--ignore", inside.name)
    return Wrap(
        argv=(*argv, *_first(INIT if init() else None)),
        environ=told,
        after=((engine.path, *engine.arguments, *remove),),
    )


def docker(
    engine: ContainerEngine, inside: Inside, binds: tuple[Bind, ...], image: docker_image.Loaded
) -> list[str]:
    """What Docker is told, up to the command."""
    argv = [engine.path, *engine.arguments, "run", "--pull", "never", *engine.run_arguments]
    argv += [*_options(inside, binds), *_limits(engine, inside), "--log-driver", "none"]
    argv += ["--user", "0:0" if engine.rootless else f"{os.getuid()}:{os.getgid()}"]
    # A name without a value takes a variable of the image away.
    argv += [part for name in sorted(image.variables - inside.variables.keys()) for part in ("--env", name)]
    return [*argv, "--entrypoint", "", image.name]


def podman(engine: ContainerEngine, inside: Inside, binds: tuple[Bind, ...]) -> list[str]:
    """What podman is told, up to the command. The root is used where it lies; what the set-up writes goes into an overlay over it."""
    # Alone it takes an absolute path as it is: the manager of systemd wants a slice.
    argv = [engine.path, *engine.arguments, "--cgroup-manager", "cgroupfs", "--log-level", "error"]
    argv += ["run", *engine.run_arguments]
    argv += [*_options(inside, binds), "--read-only-tmpfs=false", "--stop-timeout", "0", "--no-hosts"]
    argv += ["--cgroups", "no-conmon", *_limits(engine, inside)]
    argv += ["--log-driver", "passthrough" if "passthrough" in engine.features else "none"]
    if engine.rootless:
        argv += ["--user", "0:0"]
    elif "user namespace" in engine.features:
        for option, own in (("--uidmap", os.getuid()), ("--gidmap", os.getgid())):
            argv += [option, f"0:{_STRANGER}:1", option, f"{_NOBODY}:{own}:1"]
        argv += ["--user", f"{_NOBODY}:{_NOBODY}"]
    else:
        argv += ["--user", f"{os.getuid()}:{os.getgid()}"]
    return [*argv, "--rootfs", f"{inside.root}:O"]


def _options(inside: Inside, binds: tuple[Bind, ...]) -> list[str]:
    """What both engines take alike."""
    argv = ["--rm", "--name", inside.name, "--network", "host" if inside.network else "none"]
    argv += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"]
    argv += ["--read-only", "--shm-size", str(inside.memory_disk), "--workdir", inside.work]
    for folder in ("/tmp", "/var/tmp"):  # noqa: S108
        argv += ["--tmpfs", f"{folder}:rw,exec,nosuid,nodev,mode=1777,size={inside.memory_disk}"]
    first = init()
    own = [Bind(source=first, target=INIT)] if first else []
    for bind in (*binds, *own):
        if bind.device:
            argv += ["--device", bind.target]
        elif bind.target != "/sys":  # engines bring a /sys
            argv += ["--mount", _mount(bind)]
    for name, value in inside.variables.items():
        argv += ["--env", f"{name}={value}"]
    return argv


def _mount(bind: Bind) -> str:
    """One line of CSV: a path may have a comma in it."""
    fields = ["type=bind", f"source={bind.source}", f"target={bind.target}"]
    fields += [] if bind.writable else ["readonly"]
    return ",".join(
        '"' + field.replace('"', '""') + '"' if set(field) & {",", '"'} else field for field in fields
    )


def _limits(engine: ContainerEngine, inside: Inside) -> list[str]:
    argv: list[str] = []
    if inside.cpus and "cpuset" in engine.features:
        argv += ["--cpuset-cpus", ",".join(map(str, inside.cpus))]
    if "cgroup" in engine.features:
        return [*argv, GROUP, "--pids-limit", "-1"]
    limits = inside.limits
    argv += ["--pids-limit", str(limits.processes)]
    if limits.memory:
        argv += ["--memory", str(limits.memory), "--memory-swap", str(limits.memory)]
    if limits.cpu and limits.cpu != int(limits.cpu):
        argv += ["--cpus", str(limits.cpu)]
    return argv


def _first(path: str | None) -> tuple[str, ...]:
    return (path, "--") if path else ()


@cache
def init() -> str | None:
    """A program of this machine that can be the first process of any container: one that needs no library."""
    found = [shutil.which(name) for name in _INITS]
    found += [f"{folder}/{name}" for folder in _INIT_FOLDERS for name in _INITS]
    return next((os.path.realpath(path) for path in found if path and _is_static(path)), None)


def _is_static(path: str) -> bool:
    try:
        return loader_of(Path(path)) is None
    except ToolError:
        return False


def environment(engine: ContainerEngine, environ: Mapping[str, str]) -> dict[str, str]:
    """What an engine's own process finds in its environment: where the user's configuration and the daemon are, by allow-list."""
    return {name: environ[name] for name in _OF_OURS if environ.get(name)} | dict(engine.variables)
