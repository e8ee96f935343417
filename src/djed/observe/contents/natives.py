"""What the system's shared libraries define, and the CUDA toolkits that are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from djed.observe.contents.skipped import Skipped
from djed.toolbox.elf import ElfError, defined_versions
from djed.toolbox.rootview import Bounded, RootView, printable

__all__ = ["read_cuda", "read_symbols"]

_MAX_VERSION_FILE = 2**16
_MAX_PROGRAM = 64 * 2**20
_MAX_PROGRAMS = 512 * 2**20
_MAX_LIBRARIES = 20_000
_MAX_VERSIONS = 200_000
_RELEASE = re.compile(rb"Cuda compilation tools, release [\d.]+, V(\d[\d.]*)")
_TEXT = re.compile(rb"CUDA Version (\d[\d.]*)")
_NAME = re.compile(r"\.so\.(\d[\d.]*)$")


def read_symbols(files: RootView, paths: Iterable[str], skipped: Skipped) -> Mapping[str, tuple[str, ...]]:
    """The symbol versions that each library defines, by its path; a library that defines none is not there.

    A ``.so`` that is no ELF file is not worth a word: linker scripts are called so too.
    """
    found: dict[str, tuple[str, ...]] = {}
    left = _MAX_VERSIONS
    for number, path in enumerate(sorted(paths)):
        if number >= _MAX_LIBRARIES or left <= 0:
            skipped.add(path, "there are more libraries or versions than are read")
            break
        try:
            with files.open(path) as library:
                versions = defined_versions(library)
        except ElfError as error:
            if "no ELF" not in str(error):
                skipped.add(path, f"its symbol versions cannot be read: {error}")
            continue
        except OSError as error:
            skipped.add(path, f"cannot be read: {error.strerror}")
            continue
        if versions:
            found[printable(path)] = versions
            left -= len(versions)
    return found


def read_cuda(files: RootView, paths: Iterable[str], skipped: Skipped) -> Mapping[str, str]:
    """Versions of CUDA by where they are told: the toolkit's own file, its compiler, the name of its runtime library."""
    found: dict[str, str] = {}
    bounded = Bounded(files, _MAX_PROGRAMS)
    for path in sorted(paths):
        try:
            version = _cuda(bounded, path)
        except OSError as error:
            skipped.add(path, f"cannot be read: {error.strerror}")
            continue
        if version:
            found[printable(path)] = version
    return found


def _cuda(files: Bounded, path: str) -> str | None:
    if path.endswith("/version.json"):
        return _json_version(files.read(path, _MAX_VERSION_FILE))
    if path.endswith("/version.txt"):
        return _version(_TEXT, files.read(path, _MAX_VERSION_FILE))
    if path.endswith("/nvcc"):
        return _version(_RELEASE, files.read(path, _MAX_PROGRAM))
    named = _NAME.search(path)
    return named[1] if named else None


def _version(pattern: re.Pattern[bytes], data: bytes) -> str | None:
    found = pattern.search(data)
    return found[1].decode("ascii").rstrip(".") if found else None


def _json_version(data: bytes) -> str | None:
    try:
        version = json.loads(data)["cuda"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return version if isinstance(version, str) and re.fullmatch(r"\d[\d.]{0,30}", version) else None
