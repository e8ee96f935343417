"""Packages that dpkg has installed, read from its status file (dpkg(1); deb822(5)) and from those of distroless images.

Standard library only: it is used inside jobs too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from djed.model.contents import NativePackage
from djed.toolbox.rootview import Bounded, RootView

__all__ = ["read_dpkg", "split_relations"]

STATUS = "/var/lib/dpkg/status"
FOLDER = "/var/lib/dpkg/status.d"
_MAX_STATUS = 256 * 2**20
_MAX_ONE = 2**20
_MAX_PACKAGES = 200_000
_MAX_COPYRIGHT = 4 * 2**20
_MAX_COPYRIGHTS = 64 * 2**20
_MAX_LICENCES = 50

_PARAGRAPHS = re.compile(rb"\n(?:[ \t]*\n)+")
_FIELDS = re.compile(rb"^([!-9;-~]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_WANTED = frozenset({
    b"package", b"version", b"architecture", b"status", b"source", b"depends", b"pre-depends", b"replaces", b"provides",
    b"installed-size",
})  # fmt: skip
# Its files are not there: only its settings, or only a part of it.
_ABSENT = frozenset({"not-installed", "config-files", "half-installed"})
_LICENCE = re.compile(rb"^License:[ \t]*(.*)", re.MULTILINE | re.IGNORECASE)
_FORMAT = re.compile(
    rb"^(?:Format|Format-Specification):.*(?:copyright-format|dep-?5)", re.IGNORECASE | re.MULTILINE
)


def read_dpkg(files: RootView, *, brief: bool, skipped: list[str]) -> list[NativePackage]:
    """Every package whose files are there; nothing where dpkg keeps no status. What cannot be read is told in ``skipped``."""
    found: list[NativePackage] = []
    copyrights = None if brief else Bounded(files, _MAX_COPYRIGHTS)
    for data in _documents(files, skipped):
        for fields in _paragraphs(data):
            if len(found) >= _MAX_PACKAGES:
                skipped.append(f"{STATUS}: more than {_MAX_PACKAGES} packages")
                return found
            if (package := _package(fields, copyrights)) is not None:
                found.append(package)
    return found


def split_relations(value: str) -> tuple[str, ...]:
    """The requirements of a relation field (``Depends``), one each with its alternatives, on one line."""
    return tuple(" ".join(part.split()) for part in value.split(",") if part.strip())


def _documents(files: RootView, skipped: list[str]) -> Iterator[bytes]:
    """The status file, then each of the folder."""
    paths = [(STATUS, _MAX_STATUS)]
    paths += [(f"{FOLDER}/{name}", _MAX_ONE) for name in files.names(FOLDER) if not name.endswith(".md5sums")]
    for path, most in paths:
        try:
            yield files.read(path, most)
        except FileNotFoundError:
            continue
        except OSError as error:
            skipped.append(f"{path}: {error.strerror}")


def _paragraphs(data: bytes) -> Iterator[dict[bytes, str]]:
    for paragraph in _PARAGRAPHS.split(data.replace(b"\r\n", b"\n")):
        fields = {
            name: value.decode(errors="replace").strip()
            for field, value in _FIELDS.findall(paragraph)
            if (name := field.lower()) in _WANTED
        }
        if fields:
            yield fields


def _package(fields: dict[bytes, str], copyrights: Bounded | None) -> NativePackage | None:
    """``None`` for what has no name or version, or is not installed. A distroless image writes no status: what is there is installed."""
    name, version = fields.get(b"package"), fields.get(b"version")
    status = fields.get(b"status", "installed").split()
    if not name or not version or (status and status[-1] in _ABSENT):
        return None
    if copyrights is None:
        return NativePackage(kind="deb", name=name, version=version, arch=fields.get(b"architecture"))
    size = fields.get(b"installed-size", "")
    return NativePackage(
        kind="deb",
        name=name,
        version=version,
        arch=fields.get(b"architecture"),
        source=fields.get(b"source"),
        licence=_licence(copyrights, name),
        depends=split_relations(fields.get(b"depends", "")),
        pre_depends=split_relations(fields.get(b"pre-depends", "")),
        replaces=split_relations(fields.get(b"replaces", "")),
        provides=split_relations(fields.get(b"provides", "")),
        size=int(size) * 1024 if size.isascii() and size.isdecimal() and len(size) < 16 else None,  # in KiB
    )


def _licence(copyrights: Bounded, name: str) -> str | None:
    """The licences that a machine-readable copyright file names, each once; ``None`` where the file is prose, or is not there.

    https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
    """
    try:
        data = copyrights.read(f"/usr/share/doc/{name}/copyright", _MAX_COPYRIGHT)
    except OSError:
        return None
    if not _FORMAT.search(data, 0, 4096):
        return None
    names: dict[str, None] = {}
    for paragraph in _PARAGRAPHS.split(data.replace(b"\r\n", b"\n")):
        # A paragraph that only spells a licence out has no files of its own.
        found = None if paragraph.lstrip()[:8].lower() == b"license:" else _LICENCE.search(paragraph)
        if found and (text := " ".join(found[1].decode(errors="replace").split())):
            names[text[:200]] = None
    several = len(names) > 1
    return (
        " AND ".join(f"({text})" if several and " " in text else text for text in list(names)[:_MAX_LICENCES])
        or None
    )
