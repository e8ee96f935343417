"""Pythons that are there, and their versions, as their files tell them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from djed.model.contents import FoundInterpreter
from djed.toolbox.rootfs import version_within
from djed.toolbox.rootview import Bounded, RootView, printable

__all__ = ["read_interpreters"]

_MAX_PROGRAM = 256 * 2**20
_MAX_ALL = 2**30
_MAX_MINORS = 3
_MAX_SETTINGS = 2**16
_MAX_INTERPRETERS = 200
_SETTING = re.compile(rb"^version(?:_info)?[ \t]*=[ \t]*(\d\.\d{1,2}\.\d{1,3}\w*)", re.MULTILINE)
_LIBRARY = re.compile(r"libpython3(?:\.\d{1,2})?[a-z]*\.so(?:\.1\.0)?")
_NAMED = re.compile(r"python3\.(\d{1,2})")


def read_interpreters(files: RootView, paths: Iterable[str]) -> tuple[FoundInterpreter, ...]:
    """The interpreters at those paths, sorted by path. A version is ``None`` where no file tells it."""
    known: dict[str, str | None] = {}
    programs = Bounded(files, _MAX_ALL)
    return tuple(_interpreter(files, path, programs, known) for path in sorted(paths)[:_MAX_INTERPRETERS])


def _interpreter(
    files: RootView, path: str, programs: Bounded, known: dict[str, str | None]
) -> FoundInterpreter:
    folder = str(PurePosixPath(path).parent)
    version = _setting(files, folder)
    if version is None:
        # Links to one program are read once.
        real = _real(files, path)
        if real not in known:
            known[real] = next(_versions(files, path, programs, real), None)
        version = known[real]
    return FoundInterpreter(path=printable(path), link=_link(files, path), version=version)


def _setting(files: RootView, folder: str) -> str | None:
    """What the settings of a virtual environment say, beside whose folder they lie."""
    try:
        found = _SETTING.search(files.read(f"{folder}/../pyvenv.cfg", _MAX_SETTINGS))
    except OSError:
        return None
    return found[1].decode("ascii", errors="replace") if found else None


def _real(files: RootView, path: str) -> str:
    """Where the links end, as this machine calls it; ``path`` itself where they end nowhere."""
    try:
        with files.open(path) as program:
            return str(Path(f"/proc/self/fd/{program}").readlink())
    except OSError:
        return path


def _versions(files: RootView, path: str, programs: Bounded, real: str) -> Iterator[str]:
    """What the program has in itself, else the libraries beside it that it may be only a start of."""
    folders = [f"{PurePosixPath(path).parent}/../{name}" for name in ("lib", "lib64")]
    there = {folder: files.names(folder) for folder in folders}
    named = _NAMED.fullmatch(PurePosixPath(real).name)
    beside = (match[1] for names in there.values() for name in names if (match := _NAMED.fullmatch(name)))
    minors = [named[1]] if named else list(dict.fromkeys(beside))[:_MAX_MINORS]
    libraries = [
        f"{folder}/{name}" for folder, names in there.items() for name in names if _LIBRARY.fullmatch(name)
    ]
    for candidate in (path, *libraries):
        try:
            data = programs.read(candidate, _MAX_PROGRAM)
        except OSError:
            continue
        yield from (found[0] for minor in minors if (found := version_within(data, minor)))


def _link(files: RootView, path: str) -> str | None:
    try:
        with files.folder(str(PurePosixPath(path).parent)) as folder:
            return printable(os.readlink(PurePosixPath(path).name, dir_fd=folder))
    except OSError:
        return None
