"""``sif PLAN ROOT ENVIRONMENT INTO``: an image file of Apptainer, of a root, a Python environment and files.

``ROOT`` is the folder of an image's files, ``ENVIRONMENT`` that of a virtual environment or empty. The whole is one tar archive that goes
through a pipe: nothing of it is copied first. Where Apptainer is, it makes the file, out of a folder; elsewhere we do, deterministically.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from djed.build.inside.bundled import place_files, read_plan
from djed.build.inside.report import FailedError
from djed.errors import DjedError, MissingPartError, UnsafeError
from djed.toolbox import archive, process, sif, squashfs
from djed.toolbox.fs import remove_tree
from djed.toolbox.tar_writer import TarWriter

__all__ = ["compose", "run"]

Parts = tuple[bytes, ...]

_BUILDERS = ("apptainer", "singularity")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEEPEST = 256
_LINKS = 40
_LATEST = 2**32 - 1


def run(arguments: Sequence[str]) -> None:
    """Write the file."""
    plan_file, root, environment, target = arguments
    plan, into, work = read_plan(Path(plan_file)), Path(target), Path(plan_file).parent
    files = place_files(plan, work)
    into.parent.mkdir(parents=True)

    def write(stream: BinaryIO) -> None:
        compose(plan, Path(root), files, stream, environment=Path(environment) if environment else None)

    if not _by_apptainer(write, into, work, path=_path(environment)):
        _by_ourselves(plan, write, into, newest=max(plan["epoch"], _newest(Path(root))))


def _by_ourselves(
    plan: Mapping[str, Any], write: Callable[[BinaryIO], None], into: Path, *, newest: int
) -> None:
    filesystem = into.with_name("root.squashfs")
    try:
        squashfs.make(write, filesystem, newest=newest)
    except MissingPartError as error:
        raise FailedError("no_engine", error.message, hint=error.hint) from error
    sif.write(
        filesystem,
        into,
        arch=plan["arch"],
        labels=plan["labels"],
        definition=plan["definition"],
        metadata=plan["metadata"],
        epoch=plan["epoch"],
    )
    filesystem.unlink()


def _path(environment: str) -> str:
    """Where programs are looked for: not in the environment, whose code is not to run here."""
    folders = os.environ.get("PATH", "").split(":")
    inside = Path(environment) if environment else None
    return ":".join(
        folder
        for folder in folders
        if folder.startswith("/") and not (inside and Path(folder).is_relative_to(inside))
    )


def _by_apptainer(write: Callable[[BinaryIO], None], into: Path, work: Path, *, path: str) -> bool:
    """Whether Apptainer is here and has made it. Where its own set-up does not let it, that is said, and no failure."""
    tool = next(filter(None, (shutil.which(name, path=path) for name in _BUILDERS)), None)
    if tool is None:
        return False
    tar, folder = work / "composed.tar", work / "composed"
    folder.mkdir()
    with tar.open("w+b") as stream:
        write(stream)
        tar.unlink()
        stream.seek(0)
        archive.extract(stream, folder, name="the composed root")
    env = {"PATH": path, "HOME": str(work), "LC_ALL": "C"}
    for name in _BUILDERS:
        env |= {f"{name.upper()}_TMPDIR": str(work), f"{name.upper()}_CACHEDIR": str(work / "cache")}
    said: list[str] = []
    try:
        code = process.follow([tool, "build", "--force", str(into), str(folder)], said.append, env=env)
    except DjedError as error:
        code, said = 1, [error.message]
    remove_tree(folder)
    remove_tree(work / "cache")
    if code == 0 and into.exists():
        return True
    into.unlink(missing_ok=True)
    reason = said[-1][:500] if said else f"exit code {code}"
    sys.stderr.write(f"warning: {Path(tool).name} could not build it: {reason}\n")
    return False


# --- Composing


def compose(
    plan: Mapping[str, Any], root: Path, files: Path, into: BinaryIO, *, environment: Path | None = None
) -> None:
    """Write the whole as one tar archive: the root, without what ours replaces, then ours.

    Everything belongs to root, and nothing keeps bits that give rights away. Times of the root stay: compiled Python modules are valid for
    them alone. Links of the root are kept; those on the way to a place of ours are followed inside it. Raises ``UnsafeError``.
    """
    writer = TarWriter(into, epoch=plan["epoch"])
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        home, env, meta = (_place(top, plan[name]) for name in ("home", "environment", "meta"))
        _write_tree(writer, top, hidden=frozenset({home, meta, *([env] if environment else [])}))
        trees = [(files, home), *([(environment, env)] if environment else [])]
        for above in sorted({part for _, at in trees for part in _above(at)}):
            if not _exists(top, above):
                writer.folder(b"/".join(above))
        for source, at in trees:
            writer.folder(b"/".join(at))
            opened = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _write_tree(writer, opened, at=at, epoch=plan["epoch"])
            finally:
                os.close(opened)
    finally:
        os.close(top)
    _write_meta(writer, plan)
    writer.close()


def _write_meta(writer: TarWriter, plan: Mapping[str, Any]) -> None:
    meta = plan["meta"]
    found = {path: (text, 0o755) for path, text in plan["scripts"].items()}
    found |= {path: (text, 0o644) for path, text in plan["texts"].items()}
    found[f"{meta}/labels.json"] = (json.dumps(plan["labels"], sort_keys=True), 0o644)
    written: set[Parts] = set()
    for path, (text, mode) in sorted(found.items()):
        parts = _split(path)
        for above in _above(parts):
            if above not in written:
                writer.folder(b"/".join(above))
                written.add(above)
        writer.data(b"/".join(parts), text.encode(), mode)


def _write_tree(
    writer: TarWriter,
    top: int,
    *,
    at: Parts = (),
    hidden: frozenset[Parts] = frozenset(),
    epoch: int | None = None,
) -> None:
    """All below a folder; with ``epoch`` as the time, and permissions that let everybody read."""
    for parts, folder, name, status in _walk(top, at, hidden):
        path, mode = b"/".join(parts), status.st_mode
        time = epoch if epoch is not None else _time(status)
        if stat.S_ISDIR(mode):
            writer.folder(path, 0o755 if epoch is not None else mode & 0o1777 | 0o700, time)
        elif stat.S_ISLNK(mode):
            writer.symlink(path, os.readlink(name, dir_fd=folder))
        elif stat.S_ISREG(mode):
            readable = mode & 0o777 | 0o400 if epoch is None else 0o755 if mode & 0o111 else 0o644
            descriptor = os.open(name, _FILE, dir_fd=folder)
            try:
                size = os.fstat(descriptor).st_size
                writer.file(path, partial(_fill, descriptor), size, mode=readable, mtime=time)
            finally:
                os.close(descriptor)


def _newest(root: Path) -> int:
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return max((_time(status) for _, _, _, status in _walk(top, (), frozenset())), default=0)
    finally:
        os.close(top)


def _time(status: os.stat_result) -> int:
    """When it was changed, as far as a squashfs can hold it."""
    return min(max(int(status.st_mtime), 0), _LATEST)


def _fill(descriptor: int, view: memoryview) -> int:
    return os.readv(descriptor, [view])


def _walk(
    folder: int, at: Parts, hidden: frozenset[Parts]
) -> Iterator[tuple[Parts, int, bytes, os.stat_result]]:
    """Every entry with its path, the descriptor of its folder, its name and status; folders before what is in them, no link followed."""
    if len(at) > _DEEPEST:
        raise UnsafeError(f"{os.fsdecode(b'/'.join(at))[:200]!r} lies deeper than {_DEEPEST} folders.")
    for name in sorted(map(os.fsencode, os.listdir(folder))):
        parts = (*at, name)
        if parts in hidden:
            continue
        status = os.lstat(name, dir_fd=folder)
        yield parts, folder, name, status
        if stat.S_ISDIR(status.st_mode):
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                yield from _walk(inner, parts, hidden)
            finally:
                os.close(inner)


def _split(path: str) -> Parts:
    return tuple(part for part in os.fsencode(path).split(b"/") if part)


def _above(parts: Parts) -> list[Parts]:
    return [parts[:length] for length in range(1, len(parts))]


def _place(top: int, path: str) -> Parts:
    """Where a path of the image really is in its root: links above it are followed, with the root as ``/``."""
    ahead, links = list(reversed(_split(path))), 0
    at: Parts = ()
    while len(ahead) > 1:
        part = ahead.pop()
        if part == b"..":
            at = at[:-1]
            continue
        target = _link(top, (*at, part))
        if target is None:
            at = (*at, part)
            continue
        links += 1
        if links > _LINKS:
            raise UnsafeError(f"The image leads in circles on the way to {path}.")
        at = () if target.startswith(b"/") else at
        ahead += [part for part in reversed(target.split(b"/")) if part not in {b"", b"."}]
    return (*at, ahead.pop())


def _link(top: int, parts: Parts) -> bytes | None:
    """Where the entry leads, if it is a link. Raises ``UnsafeError`` where it is a file: nothing can lie in that."""
    name = b"/".join(parts)
    try:
        status = os.lstat(name, dir_fd=top)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(name, dir_fd=top)
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeError(f"/{os.fsdecode(name)[:200]} is a file in the image, and we need a folder there.")
    return None


def _exists(top: int, parts: Parts) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(b"/".join(parts), dir_fd=top)
        return True
    return False
