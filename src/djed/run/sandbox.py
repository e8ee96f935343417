"""The sandbox around a job: bubblewrap's arguments, and which levels work on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from djed.errors import DjedError, RefusedError
from djed.model.request import SANDBOX_LEVELS, SandboxLevel
from djed.toolbox import process

__all__ = ["Bind", "Inside", "Sandbox", "bubblewrap", "choose", "own_etc", "probe"]

_NOBODY = "65534"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# What programs look up in /etc without a secret in it. Not /etc/ssl as a whole: it holds private keys.
_ETC = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "timezone",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "pki/tls/certs",
    "pki/ca-trust/extracted",
    "os-release",
    "mime.types",
    "services",
    "protocols",
)
_ETC_NETWORK = ("resolv.conf", "hosts", "nsswitch.conf", "host.conf", "gai.conf")
_ETC_OWN = {
    "passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/djed/work:/bin/sh\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


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

    def is_recent(self) -> bool:
        """Whether bubblewrap knows ``--disable-userns`` and ``--size``; 0.8.0 does, and older systems carry an older one."""
        return tuple(map(int, re.findall(r"\d+", self.tool or "")[:2])) >= (0, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """What bubblewrap is to set up for one job."""

    binds: tuple[Bind, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    work: str = "/"
    network: bool = False
    memory_disk: int = 2**30
    """Bytes of each of /tmp and /dev/shm, which lie in memory."""


def bubblewrap(sandbox: Sandbox, inside: Inside, own_etc: Path) -> list[str]:
    """The argument vector up to ``--``, without the two descriptors that the shim adds."""
    assert sandbox.path is not None
    size = ["--size", str(inside.memory_disk)] if sandbox.is_recent() else []
    argv = [sandbox.path, "--unshare-all", "--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY]
    argv += ["--disable-userns"] if sandbox.is_recent() else []
    argv += ["--share-net"] if inside.network else []
    argv += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    argv += _system()
    argv += _etc(own_etc, network=inside.network)
    argv += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm"]  # noqa: S108
    argv += [*size, "--tmpfs", "/tmp", "--dir", "/run", "--symlink", "../tmp", "/var/tmp"]  # noqa: S108
    # Programs that choose their threads by the machine's layout read it here; it names nothing but the hardware.
    argv += ["--ro-bind-try", "/sys/devices/system", "/sys/devices/system"]
    for bind in inside.binds:
        option = "--dev-bind" if bind.device else "--bind" if bind.writable else "--ro-bind"
        argv += [option, bind.source, bind.target]
    for name, value in inside.variables.items():
        argv += ["--setenv", name, value]
    # Last, for what is bound needs places to be made for it: a job writes in its own folders and in /tmp, whose sizes are bounded.
    return [*argv, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", inside.work]


def _system() -> list[str]:
    """/usr, and the old top-level folders, which are links into it on most systems."""
    argv = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            argv += ["--ro-bind", str(path), str(path)]
    return argv


def _etc(own: Path, *, network: bool) -> list[str]:
    names = _ETC + (_ETC_NETWORK if network else ())
    argv: list[str] = []
    for name in names:
        path = Path("/etc", name)
        if path.exists():
            # By its real path: a link like that of resolv.conf leads to where the sandbox has nothing.
            argv += ["--ro-bind", str(path.resolve()), str(path)]
    for name in _ETC_OWN:
        if f"/etc/{name}" not in argv:
            argv += ["--ro-bind", str(own / name), f"/etc/{name}"]
    return argv


def choose(present: Sequence[Sandbox], floors: Sequence[str | None]) -> Sandbox:
    """The strongest level that works here. Raises ``RefusedError`` where a floor is above it."""
    best = max(present, key=lambda sandbox: _strength(sandbox.level))
    for floor in floors:
        if floor is not None and _strength(floor) > _strength(best.level):
            raise RefusedError(
                f"Sandbox level {floor!r} is required, but the strongest that works here is {best.level!r}.",
                hint="Install bubblewrap (bwrap), or ask for a weaker level." if floor == "bwrap" else None,
            )
    return best


def _strength(level: str) -> int:
    levels: tuple[str, ...] = SANDBOX_LEVELS
    return levels.index(level)


def probe(data: Path) -> tuple[Sandbox, ...]:
    """The levels that work here, weakest first.

    A sandbox counts when a program has really run in it; the answer is kept in ``data`` until the next boot.
    """
    own_etc(data)
    tool = shutil.which("bwrap")
    cache = data / "sandbox.json"
    key = [_BOOT_ID.read_text(encoding="ascii").strip(), tool, Path(tool).stat().st_mtime if tool else None]
    try:
        known = json.loads(cache.read_bytes())
    except (OSError, ValueError):
        known = {}
    if known.get("key") != key:
        known = {"key": key, "bwrap": _try_bubblewrap(tool, data) if tool else None}
        temporary = data / f"sandbox.json.{os.getpid()}"
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(cache)
    plain = (Sandbox(level="none"), Sandbox(level="process"))
    return (*plain, Sandbox(level="bwrap", tool=known["bwrap"], path=tool)) if known["bwrap"] else plain


def own_etc(data: Path) -> Path:
    """The folder with the few files of /etc that are made up for the sandbox; written where they are not there."""
    folder = data / "etc"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _ETC_OWN.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="ascii") != text:
            temporary = folder / f"{name}.{os.getpid()}"
            temporary.write_text(text, encoding="ascii")
            temporary.replace(path)
    return folder


def _try_bubblewrap(tool: str, data: Path) -> str | None:
    """Name and version, where ``true`` runs in it."""
    try:
        name = process.run([tool, "--version"], timeout=10, env={}).stdout.decode().strip()
        inside = Inside(binds=(), variables={"PATH": "/usr/bin:/bin"})
        argv = bubblewrap(Sandbox(level="bwrap", tool=name, path=tool), inside, own_etc(data))
        process.run([*argv, "--", "true"], timeout=10, env={})
    except DjedError:
        return None
    return name
