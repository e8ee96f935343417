"""Pythons that are there, and their versions, as their files tell them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from djed.model.contents import FoundInterpreter
from djed.toolbox.rootview import RootView, printable

__all__ = ["read_interpreters"]

_MAX_PROGRAM = 128 * 2**20
_MAX_SETTINGS = 2**16
_MAX_INTERPRETERS = 1000
_SETTING = re.compile(rb"^version(?:_info)?[ \t]*=[ \t]*(\d\.\d{1,2}\.\d{1,3}\w*)", re.MULTILINE)
_LIBRARY = re.compile(r"libpython3(?:\.\d{1,2})?[a-z]*\.so(?:\.1\.0)?")
# As the program itself has it, for sys.version: a text by itself.
_WITHIN = re.compile(rb"\0([23]\.\d{1,2}\.\d{1,3}(?:(?:a|b|rc)\d+)?)\+?\0")


def read_interpreters(files: RootView, paths: Iterable[str]) -> tuple[FoundInterpreter, ...]:
    """The interpreters at those paths, sorted by path. A version is ``None`` where no file tells it."""
    known: dict[str, str | None] = {}
    return tuple(_interpreter(files, path, known) for path in sorted(paths)[:_MAX_INTERPRETERS])


def _interpreter(files: RootView, path: str, known: dict[str, str | None]) -> FoundInterpreter:
    folder = str(PurePosixPath(path).parent)
    version = _setting(files, folder)
    if version is None:
        # Links to one program are read once.
        identity = _identity(files, path)
        if identity not in known:
            known[identity] = next(_versions(files, path), None)
        version = known[identity]
    return FoundInterpreter(path=printable(path), link=_link(files, path), version=version)


def _setting(files: RootView, folder: str) -> str | None:
    """What the settings of a virtual environment say, beside whose folder they lie."""
    try:
        found = _SETTING.search(files.read(f"{folder}/../pyvenv.cfg", _MAX_SETTINGS))
    except OSError:
        return None
    return found[1].decode("ascii", errors="replace") if found else None


def _identity(files: RootView, path: str) -> str:
    try:
        with files.open(path) as program:
            status = os.fstat(program)
    except OSError:
        return path
    return f"{status.st_dev} {status.st_ino}"


def _versions(files: RootView, path: str) -> Iterator[str]:
    """What the program has in itself, else the libraries beside it that it may be only a start of."""
    candidates = [path]
    for folder in (f"{PurePosixPath(path).parent}/../lib", f"{PurePosixPath(path).parent}/../lib64"):
        candidates += [f"{folder}/{name}" for name in files.names(folder) if _LIBRARY.fullmatch(name)]
    for candidate in candidates:
        try:
            found = _WITHIN.search(files.read(candidate, _MAX_PROGRAM))
        except OSError:
            continue
        if found:
            yield found[1].decode("ascii")


def _link(files: RootView, path: str) -> str | None:
    try:
        with files.folder(str(PurePosixPath(path).parent)) as folder:
            return printable(os.readlink(PurePosixPath(path).name, dir_fd=folder))
    except OSError:
        return None
