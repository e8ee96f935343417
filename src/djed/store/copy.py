"""Moving a store from its SQLite file into a PostgreSQL database, all or nothing. Blobs and artifacts stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from djed.errors import ConflictError, NotFoundError, StoreError
from djed.model.principal import DEFAULT_NAMESPACE
from djed.store.database import exclusive, open_database
from djed.store.service_schema import metadata, namespaces
from djed.store.store import place_of
from djed.toolbox import bell

if TYPE_CHECKING:
    from djed.store.database import Database

__all__ = ["copy_store", "count_rows"]

_BATCH = 1000

Progress = Callable[[str, int, int], None]
"""Told after each batch: table, rows copied of it so far, rows it has."""


def copy_store(data: Path, url: str, *, progress: Progress) -> Mapping[str, int]:
    """Copy all rows of the store of a data folder to the empty database at ``url``; how many there are of each table.

    Nobody can write to the store meanwhile. What lies on this machine is told to be here, so that it goes on with its work.
    Raises ``NotFoundError`` without such a store, ``ConflictError`` where somebody works on it or where the database is not empty,
    ``StoreError`` and its kin.
    """
    file = data / "djed.sqlite"
    if not file.exists():
        raise NotFoundError(f"There is no store in {data}.", hint="Name its folder with --data.")
    if bell.alive(data / "bells"):
        raise ConflictError(
            f"The store in {data} is in use.",
            hint="Stop its server and workers first; what they run, runs on.",
        )
    source = open_database(file, None)
    try:
        target = open_database(file, url)
        try:
            return _copy(source, target, place_of(data), progress)
        finally:
            target.close()
    finally:
        source.close()


def count_rows(connection: sa.Connection) -> dict[str, int]:
    """How many rows each table has, those it refers to first."""
    return {table.name: _count(connection, table) for table in metadata.sorted_tables}


def _copy(source: Database, target: Database, place: str, progress: Progress) -> Mapping[str, int]:
    with source.write() as old, target.write() as new:
        exclusive(new, "schema")
        new.execute(
            sa.delete(namespaces).where(namespaces.c.name == DEFAULT_NAMESPACE)
        )  # made with the tables
        if filled := [name for name, count in count_rows(new).items() if count]:
            raise ConflictError(
                f"{target.name} is not empty: it has {filled[0]}.", hint="Name an empty database."
            )
        counts = count_rows(old)
        for table in metadata.sorted_tables:
            done = 0
            for batch in _batches(old, table, place):
                new.execute(sa.insert(table), batch)
                done += len(batch)
                progress(table.name, done, counts[table.name])
            _continue_numbers(new, table)
        if (copied := count_rows(new)) != counts:
            raise StoreError(f"The copy is not complete ({copied} of {counts}), so nothing was copied.")
        new.exec_driver_sql("ANALYZE")  # else its first plans would be those for an empty database
    return counts


def _batches(connection: sa.Connection, table: sa.Table, place: str) -> Iterator[list[dict[str, Any]]]:
    """All rows of a table in its order. SQLite knows one machine, without a name; among several it has one."""
    rows = connection.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()
    for part in rows.partitions(_BATCH):
        batch = [dict(row) for row in part]
        for row in batch:
            if row.get("place") == "":
                row["place"] = place
        yield batch


def _continue_numbers(connection: sa.Connection, table: sa.Table) -> None:
    """The next number of a key that counts up comes behind those that were copied."""
    column = table.autoincrement_column
    if column is not None:
        newest = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
        connection.execute(
            sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(table.name, column.name), newest, False))
        )


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
