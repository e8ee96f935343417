"""What an environment can rest on, as a request names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["LOCAL_KINDS", "Base", "BaseKind", "hint_for", "parse_base"]

BaseKind = Literal["host", "name", "oci", "oci-archive", "docker-archive", "rootfs"]
LOCAL_KINDS: tuple[BaseKind, ...] = ("oci", "oci-archive", "docker-archive", "rootfs")
"""Those that lie in a file or folder of the machine."""

_LONGEST = 4096
# Domain, path, tag and digest as the OCI distribution specification has them (https://github.com/opencontainers/distribution-spec).
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:[0-9]))(?::[0-9]{{1,5}})?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A base by its kind."""

    kind: BaseKind
    name: str
    """Name of an image, or path of a file or folder."""

    @property
    def local(self) -> bool:
        """Whether it lies in a file or folder of the machine."""
        return self.kind in LOCAL_KINDS

    @property
    def fixed(self) -> bool:
        """Whether the name can lead to one image only."""
        return "@sha256:" in self.name


def parse_base(text: str) -> Base:
    """Read ``environment.base``. Raises ``ValueError`` with what is wrong."""
    if text == "host":
        return Base(kind="host", name="")
    kind, colon, path = text.partition(":")
    if colon and kind in LOCAL_KINDS:
        if not path or len(path) > _LONGEST or "\0" in path:
            raise ValueError(f"{kind}: names no file or folder")
        return Base(kind=kind, name=path)
    if len(text) > 255 or not _NAME.fullmatch(text):
        raise ValueError("it is not the name of an image")
    return Base(kind="name", name=text)


_TRANSPORTS = ("docker://", "docker-daemon:", "containers-storage:", "https://", "http://", "podman:")
_FILES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".sif", ".img")


def hint_for(text: str) -> str:
    """What to write in place of a text that is no base."""
    for prefix in _TRANSPORTS:
        if text.startswith(prefix) and len(text) > len(prefix):
            name = text.removeprefix(prefix).strip("/")
            return f"Write the name alone: {name[:100]}; engines of this machine are asked first, then the registry."
    if text.endswith((".sif", ".img")):
        return "An Apptainer file cannot be a base; name the image that it was made of."
    if text.endswith(_FILES):
        return "Say what the file is: rootfs:FILE for a root file system, docker-archive:FILE or oci-archive:FILE for a saved image."
    if text.startswith(("/", "./", "../", "~")):
        return "Say what the folder is: rootfs:FOLDER for a root file system, oci:FOLDER for an image layout."
    if text != text.lower() and _NAME.fullmatch(text.lower()):
        return f"Names of images have no capital letters: {text.lower()[:100]}"
    return "Write host, an image like debian:12, or oci:FOLDER."
