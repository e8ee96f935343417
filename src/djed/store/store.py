"""The store: database, blobs and artifacts in one data folder, and the bells that tell who waits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from djed.errors import NotFoundError, StoreError
from djed.store.blobs import Blobs
from djed.store.database import Database
from djed.toolbox.bell import ring

__all__ = ["Store"]


class Store:
    """All that is kept. Layout in docs/reference/data-folder.md."""

    def __init__(self, data: Path) -> None:
        """Open or make the store in ``data``. Raises ``StoreError`` and its kin."""
        self.data = data
        self.bells = data / "bells"
        self.attempts = data / "attempts"
        self.artifacts = data / "artifacts"
        self.database = Database(data / "djed.sqlite")
        self.blobs = Blobs(data / "blobs")

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    @contextmanager
    def change(self) -> Iterator[sa.Connection]:
        """A transaction that writes; who waits is woken after it."""
        with self.database.write() as connection:
            yield connection
        ring(self.bells)

    def artifact_path(self, digest: str) -> Path:
        """Where the artifact of that digest lies or will lie."""
        algorithm, _, hexadecimal = digest.partition(":")
        if algorithm != "sha256" or not hexadecimal.isalnum():
            raise NotFoundError(f"{digest!r} is not a digest.")
        return self.artifacts / hexadecimal

    def keep_artifact(self, digest: str, built: Path) -> None:
        """Move what was built to its place by rename; what lay there before (of a row that was dropped) goes."""
        place = self.artifact_path(digest)
        try:
            self.artifacts.mkdir(parents=True, exist_ok=True, mode=0o700)
            if place.exists() and built != place:
                self.discard_artifact(digest)
            built.rename(place)
        except OSError as error:
            raise StoreError(f"The artifact cannot be moved to {place}: {error.strerror}.") from error

    def discard_artifact(self, digest: str) -> None:
        """Remove the files of an artifact. Those who have it mounted keep it until they end."""
        place = self.artifact_path(digest)
        if place.exists():
            trash = place.with_name(f"{place.name}.gone-{os.getpid()}")
            place.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)
