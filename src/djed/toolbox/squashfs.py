"""Squashfs by the tools of squashfs-tools: made of what is written as a tar archive, and unpacked, whatever it holds."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from djed.errors import MissingPartError, ToolError, UnsafeError
from djed.toolbox import process
from djed.toolbox.archive import Caps

__all__ = ["make", "unpack"]

_HINT = "Install squashfs-tools, 4.5 or newer (Debian: apt-get install squashfs-tools)."
_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_CAPS = Caps()
_SLACK = 64 * 2**20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTED = re.compile(r"-[-rwxsStT]{9} +[0-9]+/[0-9]+ +([0-9]{1,20}) [0-9]{4}-[0-9]{2}-[0-9]{2} ")
_ENTRY = re.compile(r"[-dlcbps][-rwxsStT]{9} +[0-9]+/[0-9]+ ")


def make(write: Callable[[BinaryIO], None], into: Path, *, newest: int) -> None:
    """A squashfs, compressed by gzip, of the tar archive that ``write`` writes.

    The same archive gives the same bytes with the same tool. No file in it has a later time than ``newest``, which the whole and its root
    get. Raises ``MissingPartError`` where there is no ``sqfstar``, ``ToolError``, and what ``write`` raises.
    """
    into.unlink(missing_ok=True)
    # Of itself it takes a quarter of the machine's memory, whatever the job may use.
    argv = [
        "sqfstar",
        "-comp",
        "gzip",
        "-no-xattrs",
        "-exit-on-error",
        "-mem",
        "256M",
        "-processors",
        _processors(),
    ]
    argv += ["-root-mode", "755", "-root-uid", "0", "-root-gid", "0", "-quiet", "-no-progress", str(into)]
    said: list[str] = []
    # Version 4.5 takes the time of the root from the clock whatever its options say, but cuts it to this.
    if code := _run(argv, said, feed=write, env={"SOURCE_DATE_EPOCH": str(newest)}):
        raise ToolError(f"sqfstar failed with exit code {code}.", hint=_last(said))


@dataclass(kw_only=True, slots=True)
class _Sum:
    """Regular files, by name: hard links count as often as they are there."""

    entries: int = 0
    files: int = 0
    size: int = 0


def unpack(file: Path, into: Path, *, offset: int = 0, stored: int, caps: Caps = _CAPS) -> None:
    """Unpack the squashfs that begins at ``offset`` of a file into an existing, empty folder.

    It is listed first, and refused where it is more than the caps allow of ``stored`` bytes. Devices, pipes and sockets are left out, modes
    lose what gives rights away, and leave the owner's. Links are as they were: whoever reads the folder must follow none. Raises
    ``MissingPartError`` where there is no ``unsquashfs``, ``UnsafeError``, and ``ToolError`` where not all could be unpacked.
    """
    listed = _list(file, offset, stored, caps)
    argv = ["unsquashfs", "-no-progress", "-quiet", "-no-xattrs", "-force", "-offset", str(offset)]
    said: list[str] = []
    code = _run([*argv, "-processors", _processors(), "-dest", str(into), str(file)], said)
    found = _Sum()
    into.chmod(0o700)
    top = os.open(into, _FOLDER)
    try:
        _tidy(top, found, caps.depth)
    finally:
        os.close(top)
    # Its exit code says the same of a device that it may not make, which is of no use to us, and of a file that is broken.
    if code not in {0, 2} or (found.files, found.size) != (listed.files, listed.size):
        raise ToolError(
            f"unsquashfs could not unpack all of {file.name!r}: it may be damaged.", hint=_last(said)
        )


def _processors() -> str:
    return str(len(os.sched_getaffinity(0)))


def _run(
    argv: list[str],
    said: list[str],
    *,
    feed: Callable[[BinaryIO], None] | None = None,
    env: Mapping[str, str] = _ENV,
) -> int:
    """The exit code; ``said`` keeps the last line."""

    def told(line: str) -> None:
        said[:] = [line] if line.strip() else said

    return _follow(argv, told, feed=feed, env={**_ENV, **env})


def _follow(
    argv: list[str],
    told: Callable[[str], None],
    *,
    feed: Callable[[BinaryIO], None] | None = None,
    env: Mapping[str, str] = _ENV,
) -> int:
    try:
        return process.follow(argv, told, feed=feed, env=env)
    except MissingPartError as error:
        raise MissingPartError(f"There is no {argv[0]} on this machine.", hint=_HINT) from error


def _last(said: list[str]) -> str | None:
    return said[0][:400] if said else None


def _list(file: Path, offset: int, stored: int, caps: Caps) -> _Sum:
    """What it holds, by its own listing."""
    found = _Sum()
    said: list[str] = []

    def count(line: str) -> None:
        if not _ENTRY.match(line):
            said[:] = [line]
            return
        found.entries += 1
        if size := _LISTED.match(line):
            found.files += 1
            found.size += int(size[1])
        if found.entries > caps.entries:
            raise UnsafeError(f"{file.name!r} holds more than {caps.entries} entries.")
        if found.size > caps.size:
            raise UnsafeError(f"{file.name!r} holds more than {caps.size} bytes.")
        if found.size > _SLACK and found.size > caps.ratio * stored:
            raise UnsafeError(f"{file.name!r} holds {found.size} bytes made of {stored}.")

    if _follow(["unsquashfs", "-no-progress", "-lln", "-offset", str(offset), str(file)], count):
        raise ToolError(f"unsquashfs cannot read {file.name!r}: it may be damaged.", hint=_last(said))
    return found


def _tidy(folder: int, found: _Sum, depth: int) -> None:
    """Count the files, and take away what no reader needs. Nobody else writes there, so that what has just been seen is still so."""
    if not depth:
        raise UnsafeError("The file system has folders that lie too deep in one another.")
    for name in os.listdir(folder):
        status = os.lstat(name, dir_fd=folder)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            os.chmod(name, mode & 0o777 | 0o700, dir_fd=folder)
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                _tidy(inner, found, depth - 1)
            finally:
                os.close(inner)
        elif stat.S_ISREG(mode):
            os.chmod(name, mode & 0o777 | 0o600, dir_fd=folder)
            found.files += 1
            found.size += status.st_size
        elif not stat.S_ISLNK(mode):
            os.unlink(name, dir_fd=folder)
