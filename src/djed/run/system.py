"""What a sandbox shows of the machine's own system, and the few files of /etc that are made up for all of them."""

from __future__ import annotations

import os
from pathlib import Path

from djed.run.sandbox import Bind

__all__ = ["etc", "etc_of_image", "folders", "own_etc"]

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


def folders() -> tuple[dict[str, str], list[Bind]]:
    """/usr, and the old top-level folders, which are links into it on most systems: links by name, and folders."""
    links: dict[str, str] = {}
    binds = [Bind(source="/usr", target="/usr")]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            links[name] = str(path.readlink())
        elif path.is_dir():
            binds.append(Bind(source=str(path), target=str(path)))
    return links, binds


def etc(own: Path, *, network: bool) -> list[Bind]:
    """What a job on the machine's own system sees of /etc."""
    names = _ETC + (_ETC_NETWORK if network else ())
    # By its real path: a link like that of resolv.conf leads to where the sandbox has nothing.
    found = {name: str(Path("/etc", name).resolve()) for name in names if Path("/etc", name).exists()}
    made = {name: str(own / name) for name in _ETC_OWN if name not in found}
    return [Bind(source=source, target=f"/etc/{name}") for name, source in (found | made).items()]


def etc_of_image(own: Path, *, network: bool) -> list[Bind]:
    """What is put over the /etc of an image."""
    bound = {name: str(own / name) for name in _ETC_OWN}
    if network:
        found = {name: Path("/etc", name) for name in _ETC_NETWORK_OF_IMAGE}
        bound |= {name: str(path.resolve()) for name, path in found.items() if path.exists()}
    return [Bind(source=source, target=f"/etc/{name}") for name, source in bound.items()]


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
