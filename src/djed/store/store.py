"""The store: database, blobs and artifacts in one data folder, and the bells that tell who waits."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from djed.errors import StoreFullError
from djed.model.artifact import Artifact
from djed.store.blobs import Blobs
from djed.store.database import Database
from djed.toolbox.bell import ring
from djed.toolbox.folder import writing

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["Store"]

_RESERVE = 4 * 2**20


class Store:
    """All that is kept. Layout in docs/reference/data-folder.md."""

    def __init__(self, data: Path) -> None:
        """Open or make the store in ``data``. Raises ``StoreError`` and its kin."""
        self.data = data
        self.bells = data / "bells"
        self.attempts = data / "attempts"
        self.artifacts = data / "artifacts"
        self.packages = data / "packages"
        self._reserve = data / "reserve"
        self.database = self._open(data / "djed.sqlite")
        self.blobs = Blobs(data / "blobs")
        self.keep_reserve()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def _open(self, path: Path) -> Database:
        """The database; on a full disk by means of the reserve, so that a clean-up can begin."""
        try:
            return Database(path)
        except StoreFullError:
            if not self._reserve.exists():
                raise
            self.spend_reserve()
            return Database(path)

    def keep_reserve(self) -> None:
        """Hold some space for the day on which the disk is full: even to remove things, a database must write."""
        if self._reserve.exists():
            return
        with suppress(OSError), self._reserve.open("xb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, _RESERVE)
            except OSError:
                self._reserve.unlink()

    def spend_reserve(self) -> None:
        """Set that space free."""
        self._reserve.unlink(missing_ok=True)

    @contextmanager
    def change(self, *, by: str | None = None) -> Iterator[sa.Connection]:
        """A transaction that writes; who waits is woken after it, but for ``by``, who makes the change and looks anyway."""
        with self.database.write() as connection:
            yield connection
        ring(self.bells, but=by)

    def artifact_path(self, artifact: Artifact) -> Path:
        """Where an artifact lies or will lie."""
        return self.artifacts / artifact.path

    def keep_artifact(self, artifact: Artifact, built: Path) -> None:
        """Move what was built to its place by rename; what lay there before (of a row that was dropped) goes."""
        place = self.artifact_path(artifact)
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _alone(place.parent):
                built.stat()  # before what lies there goes: another worker may have moved it there just now
                trash = _set_aside(place)
                built.rename(place)
        shutil.rmtree(trash, ignore_errors=True)

    def discard_artifact(self, artifact: Artifact) -> None:
        """Remove the files of an artifact. Those who have it mounted keep it until they end."""
        shutil.rmtree(_set_aside(self.artifact_path(artifact)), ignore_errors=True)

    def discard_packages(self) -> None:
        """Remove the package cache: its files and those of artifacts are the same ones, so who changed one changed the other."""
        shutil.rmtree(_set_aside(self.packages / "uv"), ignore_errors=True)


def _set_aside(place: Path) -> Path:
    """Move what is to go out of the way, where it is there."""
    trash = place.with_name(f"{place.name}.gone-{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        place.rename(trash)
    return trash


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other thread or process is in here for the same folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
