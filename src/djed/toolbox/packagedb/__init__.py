"""Packages of the system's package manager that are installed in a root, read from its database: nothing is run, nothing is written.

Standard library only: it is used inside jobs too.
"""

from __future__ import annotations

from pathlib import Path

from djed.model.contents import NativePackage
from djed.toolbox.packagedb.apk import read_apk
from djed.toolbox.packagedb.dpkg import read_dpkg
from djed.toolbox.packagedb.rpm import read_rpm
from djed.toolbox.rootview import RootView

__all__ = ["find_native", "read_native"]


def read_native(root: Path, *, brief: bool = False) -> tuple[NativePackage, ...]:
    """Every package that is installed in ``root``, sorted by kind, name and version; nothing where there is no database.

    ``brief``: with name, version and architecture alone. No link is followed out of ``root``. Raises ``UnsafeError`` where ``root`` is
    no folder; a database that cannot be read has no packages here: :func:`find_native` tells why.
    """
    with RootView(root) as files:
        return find_native(files, brief=brief)[0]


def find_native(files: RootView, *, brief: bool = False) -> tuple[tuple[NativePackage, ...], tuple[str, ...]]:
    """The packages as in :func:`read_native`, and what could not be read, each with the reason."""
    skipped: list[str] = []
    found = [
        package
        for read in (read_dpkg, read_rpm, read_apk)
        for package in read(files, brief=brief, skipped=skipped)
    ]
    found.sort(key=lambda package: (package.kind, package.name, package.version, package.arch or ""))
    return tuple(found), tuple(skipped)
