"""The store in an SQLite file: driver, journal mode, and what its errors mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from djed.errors import StoreBusyError, StoreError, StoreFullError
from djed.store.database import Database
from djed.toolbox.folder import writing
from djed.toolbox.sqlite import sqlite_driver, sqlite_wal_safe

__all__ = ["SqliteDatabase"]

_BUSY_SECONDS = 30

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


class SqliteDatabase(Database):
    """One file. A transaction that writes is alone from its first moment (``BEGIN IMMEDIATE``)."""

    kind = "sqlite"
    serial = True

    def __init__(self, path: Path) -> None:
        """Open the file, make it or migrate it. Raises ``StoreError``, ``StoreVersionError``, ``StoreFullError``."""
        self.path = path
        self.name = f"The file {path}"
        self.address = str(path)
        driver = sqlite_driver()
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.journal_mode = "WAL" if sqlite_wal_safe(driver.sqlite_version_info) else "DELETE"
        engine = sa.create_engine(
            f"sqlite:///{path}",
            module=driver,
            poolclass=QueuePool,
            pool_size=8,
            connect_args={"timeout": _BUSY_SECONDS},
        )
        event.listen(engine, "connect", self._configure)
        event.listen(engine, "begin", _begin)
        super().__init__(engine, engine.execution_options(djed_write=True))

    def integrity(self) -> str:
        """``ok``, or what ``PRAGMA integrity_check`` found."""
        with self.read() as connection:
            return str(connection.exec_driver_sql("PRAGMA integrity_check").scalar())

    def size(self) -> int:
        """Bytes of the file, without its log."""
        with self.read() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())

    def _configure(self, connection: Any, _record: Any) -> None:
        # Transactions begin where _begin says, not where the driver guesses.
        connection.isolation_level = None
        cursor = connection.cursor()
        # Asked first: to set it needs the file alone, to ask does not.
        if cursor.execute("PRAGMA journal_mode").fetchone()[0].upper() != self.journal_mode:
            cursor.execute(f"PRAGMA journal_mode={self.journal_mode}")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def _tables(self, connection: sa.Connection) -> set[str]:
        return set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())

    def _meaning(self, error: DBAPIError) -> StoreError:
        text = str(error.orig)
        for sign, kind, message, hint in _MEANINGS:
            if sign in text.lower():
                return kind(message.format(path=self.path, text=text, seconds=_BUSY_SECONDS), hint=hint)
        return StoreError(f"The store {self.path} failed: {text}.")


def _begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("djed_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
