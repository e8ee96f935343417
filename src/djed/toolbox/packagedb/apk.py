"""Packages that apk has installed (apk-package(5), the fields of the installed database).

Standard library only: it is used inside jobs too.
"""

from __future__ import annotations

import re

from djed.model.contents import NativePackage
from djed.toolbox.rootview import RootView

__all__ = ["read_apk"]

# The second is where newer versions of apk keep it.
PATHS = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_MAX_DATABASE = 256 * 2**20
_MAX_PACKAGES = 200_000
_FIELDS = re.compile(rb"^([PVAoLDprI]):(.*)$", re.MULTILINE)
_END = re.compile(rb"\n\n+")


def read_apk(files: RootView, *, brief: bool, skipped: list[str]) -> list[NativePackage]:
    """Every package; nothing where there is no database. What cannot be read is told in ``skipped``."""
    for path in PATHS:
        try:
            data = files.read(path, _MAX_DATABASE)
        except FileNotFoundError:
            continue
        except OSError as error:
            skipped.append(f"{path}: {error.strerror}")
            continue
        # Both paths can lead to the same file.
        return _packages(data, path, brief=brief, skipped=skipped)
    return []


def _packages(data: bytes, path: str, *, brief: bool, skipped: list[str]) -> list[NativePackage]:
    found: list[NativePackage] = []
    for paragraph in _END.split(data):
        # A file's own fields (F, R, a, Z …) follow those of its package; none has a letter that is looked for here but p and r,
        # which a package has once.
        fields: dict[bytes, str] = {}
        for name, value in _FIELDS.findall(paragraph):
            fields.setdefault(name, value.decode(errors="replace").strip())
        if not (name := fields.get(b"P")) or not (version := fields.get(b"V")):
            continue
        if len(found) >= _MAX_PACKAGES:
            skipped.append(f"{path}: more than {_MAX_PACKAGES} packages")
            break
        found.append(
            NativePackage(kind="apk", name=name, version=version, arch=fields.get(b"A"))
            if brief
            else _package(name, version, fields)
        )
    return found


def _package(name: str, version: str, fields: dict[bytes, str]) -> NativePackage:
    size = fields.get(b"I", "")
    return NativePackage(
        kind="apk",
        name=name,
        version=version,
        arch=fields.get(b"A"),
        source=fields.get(b"o"),
        licence=fields.get(b"L"),
        depends=tuple(fields.get(b"D", "").split()),
        replaces=tuple(fields.get(b"r", "").split()),
        provides=tuple(fields.get(b"p", "").split()),
        size=int(size) if size.isascii() and size.isdecimal() and len(size) < 20 else None,
    )
