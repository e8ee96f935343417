"""Tries what a container engine can do, with a root that is made of this machine's own shell, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import resource
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from djed.errors import DjedError, ToolError
from djed.model.engine import ContainerEngine, EngineFeature
from djed.run import container, runtimes
from djed.run.docker_image import Loaded
from djed.run.loader import libraries
from djed.run.sandbox import Bind, Inside
from djed.run.shim import cgroup
from djed.toolbox import fs, process
from djed.toolbox.folder import writing

__all__ = ["TRIALS", "Ground", "Outcome"]

_SECONDS = 60.0
_SHELL = Path("/bin/sh")
_STEPS = 'FROM scratch\nADD root.tar /\nRUN ["/bin/sh", "-c", "echo built"]\n'
_MOST = {"nofile": 2**20, "nproc": 2**15}
"""What engines hold themselves to, whatever the limits of who calls them."""
_FOLDERS = ("proc", "sys", "dev", "tmp", "var/tmp", "etc", "djed/out")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of trying an engine."""

    engine: ContainerEngine
    complaints: tuple[str, ...] = ()
    """Why it cannot do all, as sentences."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A folder to try things in."""

    folder: Path

    @property
    def root(self) -> Path:
        """A root with a shell in it."""
        return self.folder / "root"

    @property
    def context(self) -> Path:
        """What to build an image from: a Containerfile, and the root as ``root.tar``."""
        return self.folder / "context"

    @classmethod
    @contextmanager
    def made(cls, data: Path) -> Iterator[Ground]:
        """Make one below the data folder; it goes afterwards. Raises ``StoreError``, ``ToolError`` where there is no usual shell."""
        with writing(data):
            data.mkdir(parents=True, exist_ok=True)
            ground = cls(Path(tempfile.mkdtemp(prefix="engines.", dir=data)))
        try:
            with writing(ground.folder):
                ground._fill()
            yield ground
        finally:
            fs.remove_tree(ground.folder)

    def _fill(self) -> None:
        self.folder.chmod(0o755)
        for name in _FOLDERS:
            (self.root / name).mkdir(parents=True)
        for name in ("passwd", "group", "hosts", "resolv.conf"):
            (self.root / "etc" / name).touch()
        for file in (_SHELL, *libraries(_SHELL)):
            target = self.root / str(file).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        self.context.mkdir()
        with tarfile.open(self.context / "root.tar", "w") as archive:
            archive.add(self.root, ".")
        (self.context / "Containerfile").write_text(_STEPS, encoding="utf-8")


def try_podman(path: Path, ground: Ground) -> Outcome:
    """Try podman. Raises ``DjedError`` where it does nothing at all."""
    version = _version(path, "podman")
    engine = ContainerEngine(
        name="podman", version=version, path=str(path), rootless=os.geteuid() != 0, variables=_reached()
    )
    wanted: tuple[EngineFeature, ...] = ("passthrough", "cgroup", "cpuset")
    wanted += () if engine.rootless else ("user namespace",)
    complaints = []
    try:
        engine = _that_runs(engine, ground, _runtimes("--runtime"))
        engine = _with_features(engine, ground, wanted)
        engine = _told_runtime(replace(engine, runs=True))
    except ToolError as error:
        complaints.append(f"podman runs no container here: {_why(error)}")
    try:
        engine = _that_builds(engine, ground, ((), ("--isolation", "chroot")))
    except ToolError as error:
        complaints.append(f"podman builds no image here: {_why(error)}")
    return _outcome(engine, complaints)


def try_buildah(path: Path, ground: Ground) -> Outcome:
    """Try buildah, which only builds. Raises ``DjedError``."""
    version = _version(path, "buildah")
    engine = ContainerEngine(
        name="buildah", version=version, path=str(path), rootless=os.geteuid() != 0, variables=_reached()
    )
    ways = (*_runtimes("--runtime"), ("--isolation", "chroot"))
    try:
        engine = _that_builds(engine, ground, ways)
    except ToolError as error:
        return _outcome(engine, [f"buildah builds no image here: {_why(error)}"])
    return _outcome(engine, [])


def try_docker(path: Path, ground: Ground) -> Outcome:
    """Try a client of Docker and the daemon that it reaches. Raises ``DjedError``."""
    _version(path, "Docker")
    engine = ContainerEngine(name="docker", version="", path=str(path), variables=_reached())
    engine = _told_docker(engine)
    complaints = []
    try:
        with _imported(engine, ground):
            _run(engine, ground)
            engine = _with_features(engine, ground, ("cgroup", "cpuset"))
        engine = replace(engine, runs=True)
    except ToolError as error:
        complaints.append(f"docker runs no container here: {_why(error)}")
    for way in ("1", "0"):
        with suppress(ToolError):
            tried = replace(engine, variables={**engine.variables, "DOCKER_BUILDKIT": way})
            engine = _that_builds(tried, ground, ((),))
            break
    else:
        complaints.append("docker builds no image here, neither with BuildKit nor without.")
    return _outcome(engine, complaints)


TRIALS: Mapping[str, Callable[[Path, Ground], Outcome]] = {
    "podman": try_podman,
    "buildah": try_buildah,
    "docker": try_docker,
}
"""By the name of the engine."""


def _outcome(engine: ContainerEngine, complaints: Sequence[str]) -> Outcome:
    return Outcome(engine=engine, complaints=tuple(complaints))


def _why(error: DjedError) -> str:
    return (error.hint or error.message).rstrip(".") + "."


def _reached() -> dict[str, str]:
    """How the engine is reached, for those that call it from a clean environment."""
    names = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "CONTAINERS_CONF")
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _call(engine: ContainerEngine, *arguments: str, check: bool = True, wait: float = _SECONDS) -> str:
    """Call it and return what it says. Raises ``ToolError``."""
    argv = [engine.path, *engine.arguments, *arguments]
    done = process.run(argv, timeout=wait, env=container.environment(engine, os.environ), check=check)
    return done.stdout.decode(errors="replace").strip()


def _version(path: Path, name: str) -> str:
    """The version that the program tells. Raises ``ToolError`` where it is another one: podman comes as ``docker`` too."""
    told = process.run([str(path), "--version"], timeout=10).stdout.decode(errors="replace")
    found = re.match(rf"{name} version ([\w.+~-]+)", told, re.IGNORECASE)
    if found is None:
        raise ToolError(f"{path} is not {name}: it calls itself {told.strip()[:80]!r}.")
    return found[1]


# --- Running -------------------------------------------------------------------------------------------------------------------------


def _runtimes(option: str) -> tuple[tuple[str, ...], ...]:
    """The engine's own runtime, and each that is there."""
    found = [shutil.which(name) for name in ("crun", "runc")]
    return ((), *((option, path) for path in found if path))


def _ulimits() -> tuple[tuple[str, ...], ...]:
    """The engine's own limits; and those that this process has, for who may not raise them."""
    own: list[str] = []
    for name, which in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        held = [
            _MOST[name] if number == resource.RLIM_INFINITY else min(number, _MOST[name])
            for number in resource.getrlimit(which)
        ]
        own += ["--ulimit", f"{name}={held[0]}:{held[1]}"]
    return (), tuple(own)


def _that_runs(engine: ContainerEngine, ground: Ground, ways: Sequence[tuple[str, ...]]) -> ContainerEngine:
    """The engine with the least arguments with which a container runs. Raises the first ``ToolError``."""
    first: ToolError | None = None
    for arguments in ways:
        for run_arguments in _ulimits():
            tried = replace(engine, arguments=arguments, run_arguments=run_arguments)
            try:
                _run(tried, ground)
            except ToolError as error:
                first = first or error
            else:
                return tried
    raise first or ToolError("There is nothing to try.")


def _with_features(
    engine: ContainerEngine, ground: Ground, wanted: Sequence[EngineFeature]
) -> ContainerEngine:
    """The engine with those features that work, each on top of the others."""
    for feature in wanted:
        tried = replace(engine, features=(*engine.features, feature))
        with suppress(ToolError):
            _run(tried, ground)
            engine = tried
    return engine


def _run(engine: ContainerEngine, ground: Ground) -> None:
    """Run a container as jobs are run, which leaves a file that is ours. Raises ``ToolError``."""
    name = f"djed-trial-{secrets.token_hex(4)}"
    out = ground.folder / name
    out.mkdir()
    inside = Inside(
        binds=(Bind(source=str(out), target="/djed/out", writable=True),),
        variables={"PATH": "/bin"},
        work="/djed/out",
        memory_disk=2**20,
        root=str(ground.root),
        name=name,
        cpus=(min(os.sched_getaffinity(0)),),
    )
    if engine.name == "docker":
        argv = container.docker(
            engine, inside, inside.binds, Loaded(name=_image(ground), variables=frozenset())
        )
    else:
        argv = container.podman(engine, inside, inside.binds)
    if first := container.init():
        argv += [container.INIT, "--"] if first else []
    try:
        with _group(engine, name) as group:
            argv = [part.replace(container.GROUP, f"--cgroup-parent={group.path}") for part in argv]
            argv += ["/bin/sh", "-c", "echo tried >/djed/out/tried; echo said"]
            told = process.run(argv, timeout=_SECONDS, env=container.environment(engine, os.environ)).stdout
            if "cgroup" in engine.features and not group.peak_memory():
                raise ToolError("The container was not in its control group.")
        left = out / "tried"
        if told != b"said\n" or not left.exists() or left.stat().st_uid != os.geteuid():
            raise ToolError(
                "It ran, but what it said or wrote did not arrive here.", hint="Is it on this machine?"
            )
    finally:
        with suppress(ToolError):
            _call(engine, "rm", "--force", name)


@contextmanager
def _group(engine: ContainerEngine, name: str) -> Iterator[cgroup.Group]:
    limits: dict[str, Any] = {"memory": None, "processes": 100, "cpu": None, "disk": 2**30}
    wanted = "cgroup" in engine.features
    group = cgroup.create(name, limits, (), container=True) if wanted else cgroup.Group()
    try:
        if wanted and group.path is None:
            raise ToolError("No control group can be made for a container.")
        yield group
    finally:
        group.remove()


# --- Docker --------------------------------------------------------------------------------------------------------------------------


def _image(ground: Ground) -> str:
    return f"djed-trial-{ground.folder.name.rpartition('.')[2].lower().replace('_', 'x')}"


@contextmanager
def _imported(engine: ContainerEngine, ground: Ground) -> Iterator[None]:
    _call(engine, "import", str(ground.context / "root.tar"), _image(ground))
    try:
        yield
    finally:
        with suppress(ToolError):
            _call(engine, "rmi", "--force", _image(ground))


def _told_docker(engine: ContainerEngine) -> ContainerEngine:
    """With what the daemon says of itself."""
    try:
        server = json.loads(_call(engine, "version", "--format", "{{json .Server}}", wait=15))
        safety = _call(engine, "info", "--format", "{{json .SecurityOptions}}", wait=15)
        parts = {part["Name"]: part["Version"] for part in server.get("Components") or ()}
        runtime = next((name for name in ("runc", "crun") if name in parts), None)
        told = f"{runtime} {runtimes.plain(parts[runtime])}" if runtime else None
        version = str(server["Version"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"{engine.path} reaches no daemon.") from error
    warning = runtimes.warning(told)
    return replace(engine, version=version, runtime=told, rootless="name=rootless" in safety, warning=warning)


def _told_runtime(engine: ContainerEngine) -> ContainerEngine:
    """With name and version of the runtime that runs podman's containers."""
    path = (
        engine.arguments[1]
        if engine.arguments
        else _call(engine, "info", "--format", "{{.Host.OCIRuntime.Path}}")
    )
    with suppress(DjedError):
        line = process.run([path, "--version"], timeout=10).stdout.decode(errors="replace").splitlines()[0]
        name, _, version = line.partition(" version ")
        told = f"{name} {runtimes.plain(version)}"
        return replace(engine, runtime=told, warning=runtimes.warning(told))
    return engine


# --- Building ------------------------------------------------------------------------------------------------------------------------


def _that_builds(engine: ContainerEngine, ground: Ground, ways: Sequence[tuple[str, ...]]) -> ContainerEngine:
    """The engine with the least arguments with which it builds. Raises the first ``ToolError``."""
    first: ToolError | None = None
    drivers = (None,) if engine.name == "docker" else (None, "vfs")
    for driver in drivers:
        for arguments in ways:
            for limits in _ulimits() if engine.name != "docker" else ((),):
                tried = replace(engine, build_arguments=(*arguments, *limits), storage_driver=driver)
                try:
                    _build(tried, ground)
                except ToolError as error:
                    first = first or error
                else:
                    return replace(tried, builds=True)
    raise first or ToolError("There is nothing to try.")


def _build(engine: ContainerEngine, ground: Ground) -> None:
    """Build an image with a command in it; podman and buildah in a store that goes again. Raises ``ToolError``."""
    steps = [
        "build",
        *engine.build_arguments,
        "--quiet",
        "--network",
        "host",
        "--file",
        str(ground.context / "Containerfile"),
    ]
    if engine.name == "docker":
        image = _call(engine, *steps, str(ground.context))
        with suppress(ToolError):
            _call(engine, "rmi", "--force", image)
        return
    store = ground.folder / f"store-{engine.name}"
    private = ["--root", str(store / "root"), "--runroot", str(store / "run")]
    private += ["--storage-driver", engine.storage_driver] if engine.storage_driver else []
    own = replace(engine, arguments=(*private, *engine.arguments))
    try:
        image = _call(own, *steps, str(ground.context)).splitlines()[-1]
    finally:
        with suppress(ToolError):
            _call(own, "rmi", "--all", "--force")
        _unmount(store)
        fs.remove_tree(store)
    if not image:
        raise ToolError(f"{engine.name} built no image.")


def _unmount(store: Path) -> None:
    """A storage driver mounts its own folder on itself."""
    with suppress(OSError):
        mounted = [
            line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        ]
        for point in sorted((point for point in mounted if Path(point).is_relative_to(store)), reverse=True):
            with suppress(DjedError):
                process.run(["umount", "--lazy", point], timeout=10)
