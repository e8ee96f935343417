"""Opening the database: driver, journal mode, version, and what its errors mean to a user."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from djed.errors import StoreBusyError, StoreError, StoreFullError, StoreVersionError
from djed.toolbox.folder import writing
from djed.toolbox.sqlite import sqlite_driver, sqlite_wal_safe

__all__ = ["SCHEMA_VERSION", "Database"]

SCHEMA_VERSION = "0002"
"""The newest migration (``store/migrations/versions``); a test holds the two together."""

_BUSY_SECONDS = 30
_logger = logging.getLogger(__name__)


_MEANINGS: tuple[tuple[str, type[StoreError], str, str | None], ...] = (
    (
        "full",
        StoreFullError,
        "There is no space left for the store {path}.",
        "Free some, for example with: djed gc",
    ),
    ("readonly", StoreError, "The store {path} is read-only.", "Choose another folder with --data."),
    (
        "unable to open",
        StoreError,
        "The store {path} cannot be opened.",
        "Check the rights of its folder, or use --data.",
    ),
    ("not a database", StoreError, "The file {path} is not a store.", "Choose another folder with --data."),
    ("malformed", StoreError, "The store {path} is damaged: {text}.", "Restore it from a copy."),
    ("locked", StoreBusyError, "The store {path} was locked by another process for {seconds} s.", None),
    (
        "disk i/o",
        StoreFullError,
        "The store {path} cannot be written: {text}.",
        "Check the disk and its free space.",
    ),
)
"""What SQLite says, what that is to us, and what to do."""


class Database:
    """The database of a store. Threads may share it; a transaction belongs to one."""

    def __init__(self, path: Path) -> None:
        """Open the SQLite file, make it or migrate it. Raises ``StoreError``, ``StoreVersionError``, ``StoreFullError``."""
        self.path = path
        driver = sqlite_driver()
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.journal_mode = "WAL" if sqlite_wal_safe(driver.sqlite_version_info) else "DELETE"
        self._engine = sa.create_engine(
            f"sqlite:///{path}",
            module=driver,
            poolclass=QueuePool,
            pool_size=8,
            connect_args={"timeout": _BUSY_SECONDS},
        )
        event.listen(self._engine, "connect", self._configure)
        event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(djed_write=True)
        with self._translated():
            self._check_version()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may write; alone from its first moment (``BEGIN IMMEDIATE``). Commits on a normal end."""
        with self._translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view."""
        with self._translated(), self._engine.begin() as connection:
            yield connection

    def integrity(self) -> str:
        """``ok``, or what ``PRAGMA integrity_check`` found."""
        with self.read() as connection:
            return str(connection.exec_driver_sql("PRAGMA integrity_check").scalar())

    def _configure(self, connection: Any, _record: Any) -> None:
        connection.isolation_level = (
            None  # transactions begin where _begin says, not where the driver guesses
        )
        cursor = connection.cursor()
        # Asked first: to set it needs the file alone, to ask does not.
        if cursor.execute("PRAGMA journal_mode").fetchone()[0].upper() != self.journal_mode:
            cursor.execute(f"PRAGMA journal_mode={self.journal_mode}")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def _check_version(self) -> None:
        with self._engine.begin() as connection:
            tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
            version = (
                connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
                if "alembic_version" in tables
                else None
            )
        if version is None and tables - {"alembic_version"}:
            raise StoreError(
                f"The file {self.path} is not a store, but another program's.",
                hint="Choose another folder with --data.",
            )
        if version == SCHEMA_VERSION:
            return
        if version is not None and str(version) > SCHEMA_VERSION:
            raise StoreVersionError(
                f"The store {self.path} was written by a newer Djed (version {version}, this one knows {SCHEMA_VERSION}).",
                hint="Use that Djed, or another folder with --data.",
            )
        if version is None:
            self._create()
        else:
            from djed.store.migrate import upgrade

            upgrade(self._writer)

    def _create(self) -> None:
        """A new store gets the tables as they are now, which a test holds equal to all migrations applied in order."""
        with self._writer.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) PRIMARY KEY)"
            )
            if connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar() == 0:
                from djed.store.service_schema import metadata

                metadata.create_all(connection)
                connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (SCHEMA_VERSION,))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._meaning(str(error.orig)) from error

    def _meaning(self, text: str) -> StoreError:
        for sign, kind, message, hint in _MEANINGS:
            if sign in text.lower():
                return kind(message.format(path=self.path, text=text, seconds=_BUSY_SECONDS), hint=hint)
        return StoreError(f"The store {self.path} failed: {text}.")


def _begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("djed_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
