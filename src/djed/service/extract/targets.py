"""What a word of the command line means: something to look into."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from djed.errors import NotFoundError, UnreadableError

__all__ = ["Kind", "Target", "is_file", "opened", "parse"]

Kind = Literal[
    "layout", "archive", "oci-archive", "docker-archive", "sif", "venv", "folder", "artifact", "name"
]

Magic: TypeAlias = Mapping[int, tuple[bytes, ...]]

# As requests name their base.
_PREFIXES: dict[str, Kind] = {
    "oci": "layout",
    "oci-archive": "oci-archive",
    "docker-archive": "docker-archive",
    "rootfs": "archive",
}
_TRANSPORTS = ("docker://", "containers-storage:", "docker-daemon:")
_DIGEST = re.compile(r"sha256:[0-9a-f]{1,64}|[0-9a-f]{8,64}")
_NAME = re.compile(r"[a-z0-9](?:[\w./-]|:(?=\w)){0,254}(?:@sha256:[0-9a-f]{64})?", re.IGNORECASE | re.ASCII)
_HEAD = 512
_TAR: Magic = {
    0: (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"),
    257: (b"ustar",),
}
"""How tars begin, and what they are compressed with, some of which is refused by its name later."""
_SIF: Magic = {32: (b"SIF_MAGIC",)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Something to look into."""

    kind: Kind
    path: str
    """Where it is; of an artifact the beginning of its digest; of an image its name."""


def parse(text: str) -> Target:
    """What ``text`` means.

    ``oci:DIR``, ``oci-archive:FILE``, ``docker-archive:FILE``, ``rootfs:DIR|FILE``; a file, whose content tells what it is, or a folder;
    the digest of an artifact or its beginning; the name of an image. Raises ``NotFoundError``, ``UnreadableError``.
    """
    prefix, colon, rest = text.partition(":")
    if colon and prefix in _PREFIXES:
        return _prefixed(_PREFIXES[prefix], prefix, rest)
    if text.startswith(_TRANSPORTS):
        return Target(kind="name", path=text)
    if os.path.lexists(text):
        path = Path(text)
        return Target(kind=_folder_kind(path) if path.is_dir() else _file_kind(path), path=text)
    if _DIGEST.fullmatch(text):
        return Target(kind="artifact", path=text)
    if text.startswith(("/", ".", "~")) or not _NAME.fullmatch(text):
        raise NotFoundError(
            f"There is no {text or 'path'}.",
            hint="Give a file, a folder, oci:DIR, an artifact's digest, or the name of an image: debian:12",
        )
    return Target(kind="name", path=text)


def opened(path: Path) -> BinaryIO:
    """A regular file that the user named, to be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}.") from error
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableError(f"{path} is neither a file nor a folder.")
    return os.fdopen(descriptor, "rb")


def is_file(folder: Path, path: str) -> bool:
    """Whether a regular file lies there, no link."""
    try:
        return stat.S_ISREG((folder / path).lstat().st_mode)
    except OSError:
        return False


def _prefixed(kind: Kind, prefix: str, path: str) -> Target:
    if not path or not os.path.lexists(path):
        raise NotFoundError(f"There is no {path}." if path else f"{prefix}: lacks its path.")
    folder = Path(path).is_dir()
    if kind == "archive":
        return Target(kind="folder" if folder else "archive", path=path)
    if (kind == "layout") != folder:
        which, other = ("folder", "oci") if folder else ("file", "oci-archive")
        raise UnreadableError(f"{path} is a {which}, which {prefix}: cannot be.", hint=f"Try {other}:{path}")
    return Target(kind=kind, path=path)


def _folder_kind(path: Path) -> Kind:
    if is_file(path, "pyvenv.cfg"):
        return "venv"
    return "layout" if is_file(path, "oci-layout") or is_file(path, "index.json") else "folder"


def _file_kind(path: Path) -> Kind:
    with opened(path) as file:
        head = file.read(_HEAD)
    if not head:
        raise UnreadableError(f"{path} is empty.")
    if _begins(head, _SIF):
        return "sif"
    if _begins(head, _TAR):
        return "archive"
    what = "a zip file, as wheels are" if head.startswith(b"PK\x03\x04") else "of no such kind"
    raise UnreadableError(
        f"{path} is no image, archive or Apptainer file: it is {what}.",
        hint="For the log of a build there is: djed extract --log FILE",
    )


def _begins(head: bytes, magic: Magic) -> bool:
    return any(head[at:].startswith(words) for at, words in magic.items())
