"""The store: database, blobs and artifacts in one data folder, and the bells that tell who waits."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from djed.errors import StoreFullError
from djed.model.artifact import Artifact
from djed.store.blobs import Blobs
from djed.store.database import Database, open_database
from djed.toolbox.bell import ring
from djed.toolbox.folder import writing

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.config import Config
    from djed.store.relay import Relay

__all__ = ["Store", "place_of"]

_RESERVE = 4 * 2**20


class Store:
    """All that is kept. Layout in docs/reference/data-folder.md."""

    def __init__(self, data: Path, *, url: str | None = None, blobs: Path | None = None) -> None:
        """Open or make the store of ``data``, with its database at ``url`` or in the folder. Raises ``StoreError`` and its kin."""
        self.data = data
        self.bells = data / "bells"
        self.attempts = data / "attempts"
        self.artifacts = data / "artifacts"
        self.packages = data / "packages"
        self._reserve = data / "reserve"
        self._guard = threading.Lock()
        self._relay: Relay | None = None
        self.database = self._open(data / "djed.sqlite", url)
        self.place = "" if url is None else place_of(data)
        """Which machine this is among those that share the database; empty where it is the only one."""
        self.timed: Callable[[float], None] = lambda _: None
        """Called with the seconds that each change took, from begin to commit."""
        self.blobs = Blobs(blobs or data / "blobs")
        self.keep_reserve()

    @classmethod
    def open(cls, config: Config) -> Self:
        """The store of these settings. Raises ``StoreError`` and its kin, ``MissingPartError`` without the driver of its database."""
        return cls(config.data, url=config.store, blobs=config.blobs)

    def close(self) -> None:
        """Close the database."""
        with self._guard:
            relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()
        self.database.close()

    def listen(self) -> None:
        """From now on bells ring for changes that other machines make, too. Whoever waits at one asks for it first; once is enough."""
        if not self.place:
            return
        from djed.store.postgres import PostgresDatabase
        from djed.store.relay import Relay

        assert isinstance(self.database, PostgresDatabase)
        with self._guard:
            if self._relay is None:
                self._relay = Relay(self.database, bells=self.bells, place=self.place)

    def _open(self, file: Path, url: str | None) -> Database:
        """The database; on a full disk by means of the reserve, so that a clean-up can begin."""
        with writing(self.data):
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return open_database(file, url)
        except StoreFullError:
            if not self._reserve.exists():
                raise
            self.spend_reserve()
            return open_database(file, url)

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
        begun = time.monotonic()
        with self.database.write() as connection:
            yield connection
            if self.place and self._relay is None:  # else our relay tells what rings here
                from djed.store.relay import relayed, tell

                if not relayed(self.bells):
                    tell(connection, self.place)
        self.timed(time.monotonic() - begun)
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


def place_of(data: Path) -> str:
    """The identity of a data folder: made once, by one of those who open it first."""
    file = data / "place"
    with writing(file):
        if not file.exists():
            draft = data / f"place.{secrets.token_hex(4)}"
            draft.write_text(secrets.token_hex(8), encoding="ascii")
            with suppress(FileExistsError):
                os.link(draft, file)
            draft.unlink()
        return file.read_text(encoding="ascii").strip()


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
