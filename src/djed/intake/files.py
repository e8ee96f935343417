"""Reads the files of a request: inside its folder, through no link that leaves it, within a budget of bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from djed.intake.faults import WrongValueError, quote
from djed.model.quantity import format_size

__all__ = ["Content", "Folder", "read_regular"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What is in a file."""

    data: bytes
    executable: bool


class Folder:
    """The folder of a request. ``budget`` is how many bytes all files read through it may have together."""

    def __init__(self, path: Path, *, budget: int) -> None:
        self._root = path.resolve()
        self._budget = budget
        self._left = budget

    def read(self, source: str, *, limit: int | None = None) -> Content:
        """The regular file ``source``, relative to the folder. Raises ``WrongValueError``."""
        rule = f"the files of a request may have {format_size(self._budget)} together"
        if limit is not None and limit < self._left:
            rule = f"it may have {format_size(limit)}"
        with self._open(source) as descriptor:
            content = _read(descriptor, quote(source), min(self._left, limit or self._left), rule)
        self._left -= len(content.data)
        return content

    def whole(self, path: str) -> str:
        """A path relative to the folder as an absolute one. Nothing is read, so it may lead anywhere."""
        return os.path.normpath(self._root / Path(path).expanduser())

    @contextmanager
    def _open(self, source: str) -> Iterator[int]:
        """A descriptor of ``source``: links resolved first, then a walk down that follows none, so that a swap does no harm."""
        try:
            steps = (self._root / source).resolve(strict=True).relative_to(self._root).parts
        except ValueError as error:
            raise WrongValueError(
                f"{quote(source)} is outside the folder of the request",
                hint="Copy or move it next to the request.",
            ) from error
        except (OSError, RuntimeError) as error:
            raise WrongValueError(_sentence(quote(source), error)) from error
        descriptor = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for number, step in enumerate(steps):
                last = number == len(steps) - 1
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY if last else os.O_PATH | os.O_DIRECTORY
                inner = os.open(step, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        except OSError as error:
            raise WrongValueError(_sentence(quote(source), error)) from error
        finally:
            os.close(descriptor)


def read_regular(path: Path, *, limit: int) -> Content:
    """The regular file that a user named on the command line; links are followed. Raises ``WrongValueError``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise WrongValueError(_sentence("it", error)) from error
    try:
        return _read(descriptor, "it", limit, f"a request may have {format_size(limit)}")
    finally:
        os.close(descriptor)


def _read(descriptor: int, name: str, limit: int, rule: str) -> Content:
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise WrongValueError(f"{name} is a directory, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise WrongValueError(f"{name} is not a regular file")
    if status.st_size > limit:
        raise WrongValueError(f"{name} is too large: {rule}")
    with open(descriptor, "rb", closefd=False) as stream:
        data = stream.read(limit + 1)  # it may grow while we read
    if len(data) > limit:
        raise WrongValueError(f"{name} is too large: {rule}")
    return Content(data=data, executable=bool(status.st_mode & stat.S_IXUSR))


def _sentence(name: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist"
    if isinstance(error, PermissionError):
        return f"{name} cannot be read: permission denied"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "links lead in a circle"
    return f"{name} cannot be read: {reason}"
