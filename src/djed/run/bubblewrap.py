"""The level ``bwrap``: bubblewrap's arguments around a job, with the machine's own file system or that of an image."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from djed.errors import DjedError
from djed.run import system
from djed.run.sandbox import Bind, Inside, Sandbox, Wrap
from djed.toolbox import process

__all__ = ["bubblewrap", "probe", "wrap"]

_NOBODY = "65534"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def wrap(sandbox: Sandbox, inside: Inside, etc: Path) -> Wrap:
    """What goes around the command; the shim adds the two descriptors by which it hears of it."""
    opening = _opening(sandbox, inside, etc)
    return Wrap(argv=(*opening, *_closing(inside), "--"), speaks="bwrap", files_at=len(opening))


def bubblewrap(sandbox: Sandbox, inside: Inside, own_etc: Path) -> list[str]:
    """The argument vector up to ``--``."""
    return [*_opening(sandbox, inside, own_etc), *_closing(inside)]


def _opening(sandbox: Sandbox, inside: Inside, own_etc: Path) -> list[str]:
    """All that is set up, one thing over the other."""
    assert sandbox.path is not None
    size = ["--size", str(inside.memory_disk)] if sandbox.is_recent() else []
    argv = [sandbox.path, "--unshare-all", "--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY]
    argv += ["--disable-userns"] if sandbox.is_recent() else []
    argv += ["--share-net"] if inside.network else []
    argv += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if inside.root is None:
        argv += [*_system(own_etc, network=inside.network), "--dir", "/run"]
        argv += ["--symlink", "../tmp", "/var/tmp"]  # noqa: S108
    else:
        argv += [*_image(inside.root, own_etc, network=inside.network), *size, "--tmpfs", "/var/tmp"]  # noqa: S108
    argv += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm"]  # noqa: S108
    argv += [*size, "--tmpfs", "/tmp"]  # noqa: S108
    # Programs that choose their threads by the machine's layout read it here; it names nothing but the hardware.
    argv += ["--ro-bind-try", "/sys/devices/system", "/sys/devices/system"]
    for bind in inside.binds:
        option = "--dev-bind" if bind.device else "--bind" if bind.writable else "--ro-bind"
        argv += [option, bind.source, bind.target]
    for name, value in inside.variables.items():
        argv += ["--setenv", name, value]
    return argv


def _closing(inside: Inside) -> list[str]:
    """Last, for what is bound needs places to be made for it: a job writes in its own folders and in /tmp, whose sizes are bounded."""
    made = ("/dev",) if inside.root is None else ("/dev", "/run", "/sys", "/djed")
    argv = [part for folder in (*made, "/") for part in ("--remount-ro", folder)]
    return [*argv, "--chdir", inside.work]


def _system(own: Path, *, network: bool) -> list[str]:
    """The machine's own system."""
    links, folders = system.folders()
    argv = [part for link, target in links.items() for part in ("--symlink", target, f"/{link}")]
    return [*argv, *_bound([*folders, *system.etc(own, network=network)])]


def _image(root: str, own: Path, *, network: bool) -> list[str]:
    """An image's root, read-only. The places that something is put over are there, and are no links: ``toolbox.rootfs`` saw to it."""
    argv = ["--ro-bind", root, "/"]
    for folder in ("/run", "/sys", "/djed"):
        argv += ["--tmpfs", folder]
    return [*argv, *_bound(system.etc_of_image(own, network=network))]


def _bound(binds: Iterable[Bind]) -> list[str]:
    return [part for bind in binds for part in ("--ro-bind", bind.source, bind.target)]


def probe(data: Path) -> tuple[Sandbox, ...]:
    """The levels up to ``bwrap`` that work here, weakest first.

    A sandbox counts when a program has really run in it; the answer is kept in ``data`` until the next boot.
    """
    system.own_etc(data)
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


def _try_bubblewrap(tool: str, data: Path) -> str | None:
    """Name and version, where ``true`` runs in it."""
    try:
        name = process.run([tool, "--version"], timeout=10, env={}).stdout.decode().strip()
        inside = Inside(binds=(), variables={"PATH": "/usr/bin:/bin"})
        argv = bubblewrap(Sandbox(level="bwrap", tool=name, path=tool), inside, system.own_etc(data))
        process.run([*argv, "--", "true"], timeout=10, env={})
    except DjedError:
        return None
    return name
