"""The level ``bwrap``: bubblewrap's arguments around a job, with the machine's own file system or that of an image."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from djed.errors import DjedError
from djed.run.sandbox import Inside, Sandbox, Wrap
from djed.toolbox import process

__all__ = ["bubblewrap", "own_etc", "probe", "wrap"]

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
# Of an image only these are replaced: the rest, like nsswitch.conf, names what is in the image.
_ETC_NETWORK_OF_IMAGE = ("resolv.conf", "hosts")
_ETC_OWN = {
    "passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/djed/work:/bin/sh\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


def wrap(sandbox: Sandbox, inside: Inside, etc: Path) -> Wrap:
    """What goes around the command; the shim adds the two descriptors by which it hears of it."""
    return Wrap(argv=(*bubblewrap(sandbox, inside, etc), "--"), speaks="bwrap")


def bubblewrap(sandbox: Sandbox, inside: Inside, own_etc: Path) -> list[str]:
    """The argument vector up to ``--``."""
    assert sandbox.path is not None
    size = ["--size", str(inside.memory_disk)] if sandbox.is_recent() else []
    argv = [sandbox.path, "--unshare-all", "--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY]
    argv += ["--disable-userns"] if sandbox.is_recent() else []
    argv += ["--share-net"] if inside.network else []
    argv += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if inside.root is None:
        argv += [*_system(), *_etc(own_etc, network=inside.network), "--dir", "/run"]
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
    # Last, for what is bound needs places to be made for it: a job writes in its own folders and in /tmp, whose sizes are bounded.
    made = ("/dev",) if inside.root is None else ("/dev", "/run", "/sys", "/djed")
    for folder in (*made, "/"):
        argv += ["--remount-ro", folder]
    return [*argv, "--chdir", inside.work]


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


def _image(root: str, own: Path, *, network: bool) -> list[str]:
    """An image's root, read-only. The places that something is put over are there, and are no links: ``toolbox.rootfs`` saw to it."""
    argv = ["--ro-bind", root, "/"]
    for folder in ("/run", "/sys", "/djed"):
        argv += ["--tmpfs", folder]
    bound = {name: str(own / name) for name in _ETC_OWN}
    if network:
        found = {name: Path("/etc", name) for name in _ETC_NETWORK_OF_IMAGE}
        bound |= {name: str(path.resolve()) for name, path in found.items() if path.exists()}
    for name, source in bound.items():
        argv += ["--ro-bind", source, f"/etc/{name}"]
    return argv


def probe(data: Path) -> tuple[Sandbox, ...]:
    """The levels up to ``bwrap`` that work here, weakest first.

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
    """The folder with the few files of /etc that are made up for sandboxes; written where they are not there."""
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
