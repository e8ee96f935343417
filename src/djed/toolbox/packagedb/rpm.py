"""Packages that rpm has installed, from its SQLite database (rpm 4.16 and newer: Fedora 33, RHEL 9, openSUSE's newer images).

The database is hostile and is not ours to write, and SQLite may want to: it is copied, together with what was not yet written back into
it, and the copy is read. The older formats (Berkeley DB, ndb) are not read; they are told in ``skipped``.

Standard library only: it is used inside jobs too.
"""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from djed.model.contents import NativePackage
from djed.toolbox.packagedb.rpmheader import Header, HeaderError
from djed.toolbox.rootview import RootView

__all__ = ["read_rpm"]

# Where it is by default, where newer systems keep it, and where those with an image for a root do.
FOLDERS = ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")
DATABASE = "rpmdb.sqlite"
OLDER = {"Packages": "Berkeley DB", "Packages.db": "ndb"}
_MAX_DATABASE = 2**30
_MAX_HEADER = 64 * 2**20
_MAX_PACKAGES = 200_000
# A database can hold views that never end. What is asked of it takes some thousands of steps a package at most.
_STEPS = 1_000_000
_MAX_ROUNDS = 500

_NAME, _VERSION, _RELEASE, _EPOCH, _SIZE, _LICENCE, _ARCH, _SOURCE = (
    1000,
    1001,
    1002,
    1003,
    1009,
    1014,
    1022,
    1044,
)
_LONG_SIZE = 5009
_BASENAMES, _FOLDERS, _FOLDER_INDEXES = 1117, 1118, 1116
# Name, flags and version of each.
_PROVIDES, _REQUIRES, _OBSOLETES = (1047, 1112, 1113), (1049, 1048, 1050), (1090, 1114, 1115)
_LESS, _GREATER, _EQUAL = 2, 4, 8
# A key that signatures are checked with is kept as if it were a package.
_KEY = "gpg-pubkey"


def read_rpm(files: RootView, *, brief: bool, skipped: list[str]) -> list[NativePackage]:
    """Every package; nothing where there is no database. What cannot be read is told in ``skipped``."""
    for folder in FOLDERS:
        names = files.names(folder)
        if DATABASE in names:
            # The others can be links to the same folder.
            return _read_database(files, folder, brief=brief, skipped=skipped)
        for name, form in OLDER.items():
            if name in names:
                skipped.append(f"{folder}/{name}: RPM databases in the format {form} are not read")
    return []


def _read_database(files: RootView, folder: str, *, brief: bool, skipped: list[str]) -> list[NativePackage]:
    where = f"{folder}/{DATABASE}"
    packages: list[NativePackage] = []
    owned: list[frozenset[str]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="djed-rpmdb-") as copy:
            for blob in _headers(_copied(files, folder, Path(copy))):
                try:
                    header = Header(blob)
                except HeaderError as error:
                    skipped.append(f"{where}: a header cannot be read: {error}")
                    continue
                if (package := _package(header, brief=brief)) is not None:
                    packages.append(package)
                    owned.append(frozenset() if brief else _files(header))
    except sqlite3.Error as error:
        skipped.append(f"{where}: {error}")
    except OSError as error:
        skipped.append(f"{where}: {error.strerror or error}")
    return packages if brief else _with_paths(packages, owned)


def _copied(files: RootView, folder: str, into: Path) -> Path:
    """A copy of the database with its write-ahead log, if it has one."""
    for name in (DATABASE, f"{DATABASE}-wal"):
        try:
            data = files.read(f"{folder}/{name}", _MAX_DATABASE)
        except FileNotFoundError:
            if name == DATABASE:
                raise
            continue
        (into / name).write_bytes(data)
    return into / DATABASE


def _headers(database: Path) -> Iterator[bytes]:
    """The header of each package. Raises ``sqlite3.Error`` for what is no such database."""
    with closing(sqlite3.connect(database)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_HEADER)
        rounds = itertools.count()
        connection.set_progress_handler(lambda: next(rounds) > _MAX_ROUNDS, _STEPS)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        kind = connection.execute("SELECT type FROM sqlite_master WHERE name = 'Packages'").fetchone()
        if kind != ("table",):
            raise sqlite3.DatabaseError("there is no table of packages in it")
        for number, (blob,) in enumerate(connection.execute("SELECT blob FROM Packages")):
            if number >= _MAX_PACKAGES:
                raise sqlite3.DatabaseError(f"more than {_MAX_PACKAGES} packages")
            if isinstance(blob, bytes):
                yield blob


def _package(header: Header, *, brief: bool) -> NativePackage | None:
    name, version, release = header.text(_NAME), header.text(_VERSION), header.text(_RELEASE)
    if not name or not version or name == _KEY:
        return None
    epoch = header.number(_EPOCH)
    full = (f"{epoch}:" if epoch is not None else "") + version + (f"-{release}" if release else "")
    if brief:
        return NativePackage(kind="rpm", name=name, version=full, arch=header.text(_ARCH))
    long = header.number(_LONG_SIZE)
    return NativePackage(
        kind="rpm",
        name=name,
        version=full,
        arch=header.text(_ARCH),
        source=header.text(_SOURCE),
        licence=header.text(_LICENCE),
        depends=_relations(header, _REQUIRES),
        replaces=_relations(header, _OBSOLETES),
        provides=_relations(header, _PROVIDES),
        size=header.number(_SIZE) if long is None else long,
    )


def _relations(header: Header, tags: tuple[int, int, int]) -> tuple[str, ...]:
    """As ``rpm -q --requires`` writes them: ``glibc >= 2.34``; each once."""
    names = header.texts(tags[0])
    flags, versions = header.numbers(tags[1]), header.texts(tags[2])
    written: dict[str, None] = {}
    for index, name in enumerate(names):
        flag = flags[index] if index < len(flags) else 0
        version = versions[index] if index < len(versions) else ""
        sign = (
            ("<" if flag & _LESS else "") + (">" if flag & _GREATER else "") + ("=" if flag & _EQUAL else "")
        )
        written[f"{name} {sign} {version}" if sign and version else name] = None
    return tuple(written)


def _files(header: Header) -> frozenset[str]:
    folders = header.texts(_FOLDERS)
    return frozenset(
        folders[index] + name
        for name, index in zip(header.texts(_BASENAMES), header.numbers(_FOLDER_INDEXES), strict=False)
        if index < len(folders)
    )


def _with_paths(packages: list[NativePackage], owned: list[frozenset[str]]) -> list[NativePackage]:
    """The packages with those of their files that any of them requires by its path."""
    required = {line for package in packages for line in package.depends if line.startswith("/")}
    return [
        replace(package, paths=tuple(sorted(paths & required))) if paths & required else package
        for package, paths in zip(packages, owned, strict=True)
    ]
