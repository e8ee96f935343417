"""The level ``gvisor``: runsc, whose own kernel stands between a job and the machine's; no container engine is needed.

The root of a job is made of the folders of its image, or of the machine's own, each bound read-only into an empty folder of
ours: so what runsc makes to mount upon never lands in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from djed.errors import DjedError, ToolError
from djed.run import container, system
from djed.run.sandbox import Bind, Inside, Sandbox, Wrap
from djed.toolbox import fs, process
from djed.toolbox.folder import writing

__all__ = ["probe", "remembered", "wrap"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FILE = "gvisor.json"
_PLATFORMS = ("systrap", "ptrace")  # kvm needs a device, and hangs where that is not quite what it should be
_SECONDS = 20.0
_MADE = frozenset({"proc", "dev", "sys", "run", "tmp", "djed"})
"""Top-level folders that are not the image's."""
_ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/"}


def wrap(sandbox: Sandbox, inside: Inside, etc: Path) -> Wrap:
    """The wrap of the level ``gvisor``. Raises ``StoreError`` where the data folder cannot be written."""
    assert sandbox.path is not None
    data = etc.parent
    network = "host" if inside.network else "none"
    runsc = (
        sandbox.path,
        *sandbox.arguments,
        "--root",
        str(data / "gvisor" / "state"),
        f"--network={network}",
    )
    return Wrap(
        argv=(*runsc, "run", "--bundle", ".", inside.name),
        speaks="runtime",
        bundle=_configuration(inside, etc, data / "gvisor"),
        environ=_ENVIRON,
        stop=(*runsc, "kill", inside.name, "TERM"),
        after=((*runsc, "delete", "--force", inside.name),),
    )


def _configuration(inside: Inside, etc: Path, place: Path) -> dict[str, Any]:
    """The OCI configuration, https://github.com/opencontainers/runtime-spec, to whose arguments the command is to be added."""
    links, binds = _root(inside, etc)
    first = container.init()
    binds += [*inside.binds, *([Bind(source=first, target=container.INIT)] if first else [])]
    memory = f"size={inside.memory_disk}"
    mounts = [
        _mount("/proc", "proc"),
        _mount("/dev", "tmpfs"),
        _mount("/sys", "sysfs", "ro"),
        *(_bind(bind) for bind in binds if not bind.device and bind.target != "/sys"),
        *(_mount(path, "tmpfs", "mode=1777", memory) for path in ("/tmp", "/var/tmp", "/dev/shm")),  # noqa: S108
    ]
    # In the order of their depth, but as they came where that is the same: a later one may lie in an earlier one.
    mounts.sort(key=lambda mount: mount["destination"].count("/"))
    return {
        "ociVersion": "1.0.2",
        "hostname": "djed",
        "process": {
            "user": {"uid": os.getuid(), "gid": os.getgid()},
            "args": [container.INIT, "--"] if first else [],
            "env": [f"{name}={value}" for name, value in inside.variables.items()],
            "cwd": inside.work,
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": str(_skeleton(place, links)), "readonly": True},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]},
    }


def _with_command(bundle: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    process_ = bundle["process"]
    return {**bundle, "process": {**process_, "args": [*process_["args"], *command]}}


def _mount(path: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": path, "type": kind, "source": kind, "options": list(options)}


def _bind(bind: Bind) -> dict[str, Any]:
    options = ["rbind", "rw" if bind.writable else "ro"]
    return {"destination": bind.target, "type": "bind", "source": bind.source, "options": options}


def _root(inside: Inside, etc: Path) -> tuple[dict[str, str], list[Bind]]:
    """Links and binds that make the root."""
    if inside.root is None:
        links, binds = system.folders()
        return links, [*binds, *system.etc(etc, network=inside.network)]
    links, binds = dict[str, str](), list[Bind]()
    with os.scandir(inside.root) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name in _MADE:
                continue
            if entry.is_symlink():
                links[entry.name] = str(Path(entry.path).readlink())
            elif entry.is_dir():
                binds.append(Bind(source=entry.path, target=f"/{entry.name}"))
    return links, [*binds, *system.etc_of_image(etc, network=inside.network)]


def _skeleton(place: Path, links: Mapping[str, str]) -> Path:
    """A folder with these links alone; runsc adds what it mounts upon. Roots with the same links share one."""
    digest = hashlib.sha256(json.dumps(links, sort_keys=True).encode()).hexdigest()
    folder = place / "roots" / digest
    with writing(place):
        folder.mkdir(parents=True, exist_ok=True)
        (place / "state").mkdir(exist_ok=True, mode=0o700)
        for link, target in links.items():
            if not (folder / link).is_symlink():
                (folder / link).symlink_to(target)
    return folder


def probe(data: Path, *, again: bool = False) -> Sandbox | None:
    """The level, where a program has really run in it; the answer is kept in ``data`` until the next boot. Raises ``StoreError``."""
    known = None if again else _recall(data)
    if known is None:
        known = _try(data)
    return _sandbox(known)


def remembered(data: Path) -> Sandbox | None:
    """What was found before; ``None`` also where nobody looked since. Starts no process."""
    return _sandbox(_recall(data) or {})


def _sandbox(known: Mapping[str, Any]) -> Sandbox | None:
    if not known.get("tool"):
        return None
    return Sandbox(
        level="gvisor", tool=known["tool"], path=known["path"], arguments=tuple(known["arguments"])
    )


def _recall(data: Path) -> dict[str, Any] | None:
    try:
        known = dict(json.loads((data / _FILE).read_bytes()))
        return known if known["key"] == _key() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key() -> list[Any]:
    path = shutil.which("runsc")
    return [
        _BOOT_ID.read_text(encoding="ascii").strip(),
        os.geteuid(),
        path,
        Path(path).stat().st_mtime_ns if path else None,
    ]


def _try(data: Path) -> dict[str, Any]:
    """Try every way, the fastest first, and remember the outcome."""
    known: dict[str, Any] = {"key": _key(), "path": shutil.which("runsc")}
    with writing(data):
        data.mkdir(parents=True, exist_ok=True)
    for arguments in _ways() if known["path"] else ():
        with suppress(DjedError):
            tool = _version(known["path"])
            _run(Sandbox(level="gvisor", tool=tool, path=known["path"], arguments=arguments), data)
            known |= {"tool": tool, "arguments": list(arguments)}
            break
    draft = data / f"{_FILE}.{secrets.token_hex(4)}"
    with writing(data / _FILE):
        draft.write_text(json.dumps(known), encoding="utf-8")
        draft.replace(data / _FILE)
    return known


def _ways() -> Iterator[tuple[str, ...]]:
    rootless = () if os.geteuid() == 0 else ("--rootless",)
    for platform in _PLATFORMS:
        # The shim's own control group holds it, as everything that descends from the shim.
        yield (f"--platform={platform}", "--ignore-cgroups", *rootless)


def _version(path: str) -> str:
    """Name and version, without what only distributions add: ``runsc 0.0~20221219.0``."""
    told = process.run([path, "--version"], timeout=10, env=_ENVIRON).stdout.decode(errors="replace")
    found = re.match(r"runsc version (?:release-)?(\S+)", told)
    if found is None:
        raise ToolError(f"{path} is not runsc.")
    return f"runsc {found[1]}"


def _run(sandbox: Sandbox, data: Path) -> None:
    """Run a program of the machine's, which leaves a file that is ours. Raises ``DjedError``."""
    name = f"djed-trial-{secrets.token_hex(4)}"
    place = data / name
    with writing(place):
        (place / "out").mkdir(parents=True)
    try:
        binds = (Bind(source=str(place / "out"), target="/djed/out", writable=True),)
        inside = Inside(
            binds=binds, variables={"PATH": "/usr/bin:/bin"}, work="/djed/out", memory_disk=2**20, name=name
        )
        made = wrap(sandbox, inside, system.own_etc(data))
        assert made.bundle is not None
        configured = _with_command(made.bundle, ("/bin/sh", "-c", "echo tried >tried"))
        with writing(place):
            (place / "config.json").write_text(json.dumps(configured), encoding="utf-8")
        try:
            process.run(made.argv, timeout=_SECONDS, env=made.environ, cwd=place)
        finally:
            for argv in made.after:
                process.run(argv, timeout=_SECONDS, env=made.environ, check=False)
        left = place / "out" / "tried"
        if not left.exists() or left.stat().st_uid != os.geteuid():
            raise ToolError("What a job wrote did not arrive here.")
    finally:
        fs.remove_tree(place)
