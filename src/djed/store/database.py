"""A database of the store: transactions, version, and what its errors mean to a user. SQLite and PostgreSQL each say how they do it."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from djed.errors import StoreBusyError, StoreError, StoreVersionError
from djed.model.principal import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from djed.errors import DjedError

__all__ = ["SCHEMA_VERSION", "Database", "alone", "among", "exclusive", "open_database", "together", "upsert"]

SCHEMA_VERSION = "0003"
"""The newest migration (``store/migrations/versions``); a test holds the two together."""


def open_database(file: Path, url: str | None) -> Database:
    """The database at ``url``, else the file; made or migrated if need be. Raises ``StoreError`` and its kin, ``MissingPartError``."""
    if url is None:
        from djed.store.sqlite import SqliteDatabase

        return SqliteDatabase(file)
    from djed.store.postgres import PostgresDatabase

    return PostgresDatabase(url)


class Database(ABC):
    """The database of a store. Threads may share it; a transaction belongs to one.

    After trouble (``StoreBusyError``, ``StoreFullError``) the next transaction begins anew. Where the connection broke at a commit, nobody
    can tell whether it was made: who writes must be able to look, or to write the same again.
    """

    serial: bool
    """Whether one transaction writes at a time, which readers and writers wait for."""
    kind: str
    """``sqlite`` or ``postgresql``."""
    name: str
    """What messages call it; without a password."""
    address: str
    """Where it is; without a password."""

    def __init__(self, reader: sa.Engine, writer: sa.Engine) -> None:
        self._reader, self._writer = reader, writer
        try:
            with self._translated():
                self._check_version()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._reader.dispose()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may write. Commits on a normal end."""
        with self._translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view."""
        with self._translated(), self._reader.begin() as connection:
            yield connection

    @abstractmethod
    def integrity(self) -> str:
        """``ok``, or what a check of the whole found."""

    @abstractmethod
    def size(self) -> int:
        """Bytes on the disk."""

    def version(self) -> str:
        """Of the schema."""
        with self.read() as connection:
            return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())

    @abstractmethod
    def _tables(self, connection: sa.Connection) -> set[str]:
        """Names of the tables that are there."""

    @abstractmethod
    def _meaning(self, error: DBAPIError) -> DjedError:
        """What an error of the driver means to a user."""

    def _create_tables(self, connection: sa.Connection) -> None:
        from djed.store.service_schema import metadata

        metadata.create_all(connection)

    def _check_version(self) -> None:
        with self._reader.begin() as connection:
            tables = self._tables(connection)
            version = _version(connection, tables)
        if version is None and tables - {"alembic_version"}:
            raise StoreError(
                f"{self.name} is not a store, but another program's.",
                hint="Choose another one for the store.",
            )
        if version == SCHEMA_VERSION:
            return
        if version is not None and version > SCHEMA_VERSION:
            raise StoreVersionError(
                f"{self.name} was written by a newer Djed (version {version}, this one knows {SCHEMA_VERSION}).",
                hint="Use that Djed, or another store.",
            )
        with self._writer.begin() as connection:
            exclusive(connection, "schema")  # and looked at again: another process may have been faster
            version = _version(connection, self._tables(connection))
            if version is None:
                self._create(connection)
            elif version < SCHEMA_VERSION:
                from djed.store.migrate import upgrade

                upgrade(connection)

    def _create(self, connection: sa.Connection) -> None:
        """A new store gets the tables as they are now, which a test holds equal to all migrations applied in order."""
        self._create_tables(connection)
        first = {"name": DEFAULT_NAMESPACE, "now": time.time()}
        connection.execute(sa.text("INSERT INTO namespaces (name, created_at) VALUES (:name, :now)"), first)
        connection.exec_driver_sql(  # as Alembic does it
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL,"
            " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{SCHEMA_VERSION}')")  # noqa: S608

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._meaning(error) from error
        except PoolTimeoutError as error:
            raise StoreBusyError(f"{self.name} is busy: every connection to it is in use.") from error


def alone(connection: sa.Connection) -> bool:
    """Whether this is the only transaction that writes now, which it always is on SQLite."""
    return connection.dialect.name == "sqlite"


def exclusive(connection: sa.Connection, *names: str) -> None:
    """Let no other transaction of the store pass here for one of these names before this one ends.

    SQLite lets one transaction write at a time anyway; on PostgreSQL it is an advisory lock. Take it before any row, and all names at once:
    then nobody waits for another in a circle.
    """
    if names and not alone(connection):
        keys = sorted(_key(name) for name in set(names))
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", (keys,)
        )


def among(connection: sa.Connection, column: sa.Column[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Whether the column has one of many values: on PostgreSQL one array, whose length changes nothing in what is prepared there."""
    if alone(connection):
        return column.in_(values)
    return column == sa.any_(sa.bindparam(None, list(values), type_=sa.ARRAY(column.type), unique=True))


@contextmanager
def together(connection: sa.Connection) -> Iterator[None]:
    """Send the statements in here in one go, where each would be a round trip. They give no rows, and their errors show at the end."""
    if alone(connection):
        yield
        return
    driver = connection.connection.driver_connection
    errors = connection.dialect.loaded_dbapi.Error
    assert driver is not None
    try:
        with driver.pipeline():
            yield
    except errors as error:
        raise DBAPIError.instance(None, None, error, errors, dialect=connection.dialect) from error


def upsert(connection: sa.Connection, table: sa.Table, key: Sequence[str], values: Mapping[str, Any]) -> None:
    """Insert a row, or renew the one that has that key already, also where another transaction inserts it just now."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql as dialect
    else:
        from sqlalchemy.dialects import sqlite as dialect  # type: ignore[no-redef]
    rest = {name: value for name, value in values.items() if name not in key}
    statement = dialect.insert(table).values(dict(values))
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=rest))


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"djed:{name}".encode()).digest()[:8], "big", signed=True)


def _version(connection: sa.Connection, tables: set[str]) -> str | None:
    if "alembic_version" not in tables:
        return None
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if version is None else str(version)
