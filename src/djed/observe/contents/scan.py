"""One walk over a folder that finds all that is of interest in it, by descriptors, following no link."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from djed.observe.contents.skipped import Skipped
from djed.toolbox.rootview import RootView

__all__ = ["Found", "scan"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_ENTRIES = 5_000_000
_MAX_DEPTH = 128

_DISTRIBUTION = (".dist-info", ".egg-info")
_INTERPRETER = re.compile(r"(?:python|pypy)(?:\d(?:\.\d{1,2})?)?")
_LIBRARY = re.compile(r".+\.so(?:\.[\w.]+)?")
_LIBRARIES = re.compile(
    # Of the system and of what is beside it, by itself or for one kind of machine (/usr/lib/x86_64-linux-gnu); and of CUDA.
    r"/(?:usr/|usr/local/|opt/[^/]+/)?(?:lib(?:32|64|x32)?)(?:/[a-z0-9_]+-[a-z0-9_-]+)?"
    r"|/usr/local/cuda[^/]*/(?:lib64|targets/[^/]+/lib)"
)
_CUDA_FOLDER = re.compile(r".*/cuda[^/]*")
_CUDART = re.compile(r"libcudart(?:-[0-9a-f]+)?\.so\.[\d.]+")


@dataclass(kw_only=True, slots=True)
class Found:
    """Paths of what was found; each begins with ``/``, which is the folder that was looked into."""

    distributions: list[str] = field(default_factory=list)
    interpreters: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    cuda: list[str] = field(default_factory=list)
    size: int = 0
    """Bytes of all regular files, each counted once however many names it has."""


def scan(
    files: RootView,
    sources: Callable[[int, str, list[str]], None],
    skipped: Skipped,
    *,
    without: Collection[str] = (),
) -> Found:
    """Walk everything.

    ``sources`` is called for each folder that has Python source files: with its descriptor (the caller's no longer when it returns),
    its path and their names. ``without``: paths that are not gone into.
    """
    walk = _Walk(sources, skipped, without)
    with files.folder("/") as root:
        walk.folder(root, "", 0)
    return walk.found


class _Walk:
    def __init__(
        self, sources: Callable[[int, str, list[str]], None], skipped: Skipped, without: Collection[str]
    ) -> None:
        self.found = Found()
        self._sources = sources
        self._skipped = skipped
        self._without = frozenset(without)
        self._entries = 0
        self._counted: set[tuple[int, int]] = set()

    def folder(self, descriptor: int, path: str, depth: int) -> None:
        """All of a folder. ``path`` is empty for the outermost."""
        sources: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self._entries += 1
                    if self._entries > _MAX_ENTRIES:
                        break
                    name = entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                    elif entry.is_file(follow_symlinks=False):
                        self._size(entry.stat(follow_symlinks=False))
                        if name.endswith(".py"):
                            sources.append(name)
                        else:
                            self._file(path, name)
                    elif entry.is_symlink():
                        self._link(path, name)
        except OSError as error:
            self._skipped.add(path or "/", f"cannot be read: {error.strerror}")
        if sources:
            self._sources(descriptor, path, sources)
        for name in folders:
            self._inner(descriptor, path, name, depth)

    def _inner(self, descriptor: int, path: str, name: str, depth: int) -> None:
        where = f"{path}/{name}"
        if name.endswith(_DISTRIBUTION):
            self.found.distributions.append(where)
        if where in self._without:
            return
        if depth >= _MAX_DEPTH:
            self._skipped.add(where, f"it lies deeper than {_MAX_DEPTH} folders")
            return
        if self._entries > _MAX_ENTRIES:
            self._skipped.add(where, f"there are more than {_MAX_ENTRIES} files")
            return
        try:
            inner = os.open(name, _DIRECTORY, dir_fd=descriptor)
        except OSError as error:
            self._skipped.add(where, f"cannot be read: {error.strerror}")
            return
        try:
            self.folder(inner, where, depth + 1)
        finally:
            os.close(inner)

    def _size(self, status: os.stat_result) -> None:
        if status.st_nlink > 1:
            identity = (status.st_dev, status.st_ino)
            if identity in self._counted:
                return
            self._counted.add(identity)
        self.found.size += status.st_size

    def _file(self, path: str, name: str) -> None:
        """A regular file that is no Python source."""
        if name.endswith(".egg-info"):
            self.found.distributions.append(f"{path}/{name}")
        elif ".so" in name and _LIBRARY.fullmatch(name):
            if _LIBRARIES.fullmatch(path):
                self.found.libraries.append(f"{path}/{name}")
            if _CUDART.fullmatch(name):
                self.found.cuda.append(f"{path}/{name}")
        elif name in {"version.txt", "version.json"}:
            if _CUDA_FOLDER.fullmatch(path):
                self.found.cuda.append(f"{path}/{name}")
        elif path.endswith("/bin"):
            if name == "nvcc":
                self.found.cuda.append(f"{path}/{name}")
            elif _INTERPRETER.fullmatch(name):
                self.found.interpreters.append(f"{path}/{name}")

    def _link(self, path: str, name: str) -> None:
        if name.endswith(_DISTRIBUTION):
            self.found.distributions.append(f"{path}/{name}")
        elif path.endswith("/bin") and _INTERPRETER.fullmatch(name):
            self.found.interpreters.append(f"{path}/{name}")
