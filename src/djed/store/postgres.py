"""The store in a PostgreSQL database: connections, isolation, and what its errors mean."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.pool import QueuePool

from djed.errors import (
    ConfigError,
    MissingPartError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    UnreadableError,
)
from djed.store.database import Database, exclusive

if TYPE_CHECKING:
    from djed.errors import DjedError

__all__ = ["PostgresDatabase"]

_CONNECTION = {
    "application_name": "djed",
    "connect_timeout": 5,
    # A server that went without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    # Who was stopped in the middle of a transaction must not hold up the others for ever.
    "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s",
}
"""What holds for each connection unless the URL says otherwise."""

_MEANINGS: tuple[tuple[str, type[StoreError], str, str | None], ...] = (
    ("53100", StoreFullError, "There is no space left for {name}.", "Free some on its server."),
    ("53300", StoreBusyError, "{name} has no connection free.", "Raise max_connections on its server."),
    ("53", StoreBusyError, "{name} lacks resources: {text}.", None),
    ("23505", StoreBusyError, "{name} was written by others at the same moment: {text}.", None),
    ("40", StoreBusyError, "{name} was written by others at the same moment: {text}.", None),
    ("55P03", StoreBusyError, "{name} was locked by another transaction for too long.", None),
    ("57014", StoreBusyError, "{name} gave up: {text}.", None),
    ("57", StoreBusyError, "{name} is not there for now: {text}.", None),
    ("08", StoreBusyError, "{name} cannot be reached: {text}.", None),
    ("25P03", StoreBusyError, "{name} ended a transaction that had stood still.", None),
    ("25006", StoreBusyError, "{name} is read-only for now.", "Name its primary server."),
    ("58", StoreBusyError, "{name} has trouble with its files: {text}.", "Look into the log of its server."),
    ("28", StoreError, "{name} does not let us in: {text}.", "Check user and password in the setting store."),
    ("3D000", StoreError, "{name} does not exist.", "Create it: createdb NAME"),
    ("42501", StoreError, "{name} does not allow it: {text}.", "Let its user own the database."),
)
"""SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) or its class, what that is to us, and what to do."""


_REFUSALS: tuple[tuple[str, str], ...] = (
    ("too many", "53300"),
    ("connection slots are reserved", "53300"),
    ("authentication", "28"),
    ("pg_hba.conf", "28"),
    ("role ", "28"),
    ("database ", "3D000"),
)
"""What a server says to who is not let in, which is told without its SQLSTATE, and what that would be."""


class PostgresDatabase(Database):
    """A database that many machines share.

    Writers run side by side at READ COMMITTED: what must not change meanwhile is locked, by ``FOR UPDATE``, by ``exclusive`` or by a unique
    index. Readers see one moment (REPEATABLE READ, read-only).
    """

    kind = "postgresql"
    serial = False

    def __init__(self, url: str) -> None:
        """Open the database, make its tables or migrate them. Raises ``StoreError`` and its kin, ``ConfigError``, ``MissingPartError``."""
        self.url = _parse(url)
        self.address = _address(self.url)
        self.name = f"The database {self.address}"
        given = set(self.url.query)
        try:
            engine = sa.create_engine(
                self.url,
                poolclass=QueuePool,
                pool_size=8,
                max_overflow=8,
                connect_args={name: value for name, value in _CONNECTION.items() if name not in given},
            )
        except ImportError as error:
            raise MissingPartError(
                "psycopg, which speaks with PostgreSQL, is not installed.",
                hint="pip install 'djed[postgres]'",
            ) from error
        event.listen(engine, "checkout", _check)
        reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        super().__init__(reader, engine)
        with self._translated():
            self._renumber()

    def connect(self) -> Any:
        """A connection of its own, outside of the pool: a ``psycopg.Connection`` without transactions. Raises ``psycopg.Error``."""
        import psycopg

        _, options = self._writer.dialect.create_connect_args(self.url)
        return psycopg.connect(**{**_CONNECTION, **options}, autocommit=True)

    def integrity(self) -> str:
        """``ok``, or which index is not valid and how many pages had a wrong checksum, as the server knows them."""
        with self.read() as connection:
            broken = connection.exec_driver_sql(
                "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
                " WHERE relnamespace = current_schema()::regnamespace AND NOT indisvalid"
            ).scalars()
            wrong = connection.exec_driver_sql(
                "SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()"
            ).scalar_one()
            found = [f"index {name} is not valid" for name in broken]
        return ", ".join(found + ([f"{wrong} checksum failures"] if wrong else [])) or "ok"

    def size(self) -> int:
        """Bytes of its tables with their indexes."""
        with self.read() as connection:
            return int(
                connection.exec_driver_sql(
                    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
                    " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
                ).scalar_one()
            )

    def _tables(self, connection: sa.Connection) -> set[str]:
        return set(
            connection.exec_driver_sql(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            ).scalars()
        )

    def _create_tables(self, connection: sa.Connection) -> None:
        # The schema says it for SQLite only: for PostgreSQL that would load its dialect on the path of every command.
        from djed.store.service_schema import metadata

        for table in metadata.tables.values():
            for index in table.indexes:
                index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
        super()._create_tables(connection)
        connection.exec_driver_sql("CREATE INDEX events_order ON events (xact, seq)")

    def _renumber(self) -> None:
        """Transactions count anew where a dump was restored into another cluster: events from the future would be told late."""
        ahead = "xact >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        with self._reader.begin() as connection:
            found = connection.exec_driver_sql(f"SELECT 1 FROM events WHERE {ahead} LIMIT 1").first()  # noqa: S608
        if found:
            with self._writer.begin() as connection:
                exclusive(connection, "schema")
                connection.exec_driver_sql(f"UPDATE events SET xact = 0 WHERE {ahead}")  # noqa: S608

    def _meaning(self, error: DBAPIError) -> DjedError:
        text = next(iter(str(error.orig).strip().splitlines()), "").rstrip(".")
        text = text.rpartition(" failed: ")[2].removeprefix("FATAL:").strip()
        state = getattr(error.orig, "sqlstate", None) or _refusal(text)
        if state is None and isinstance(error, sa.exc.DataError):  # refused by the driver, before it was sent
            return UnreadableError(f"That cannot be kept in a database: {text}.")
        # Without a state it was no server that spoke: it could not be reached, or went away in the middle of it.
        state = state or ("08" if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) else "")
        if state.startswith("22"):
            return UnreadableError(f"That cannot be kept in a database: {text}.")
        for sign, kind, message, hint in _MEANINGS:
            if state.startswith(sign):
                return kind(message.format(name=self.name, text=text), hint=hint)
        return StoreError(f"{self.name} failed: {text}.")


def _refusal(text: str) -> str | None:
    """The SQLSTATE of what a server said when it let nobody in. While it starts or stops it says that of the "database system"."""
    if "database system" in text:
        return "57P03"
    return next((state for sign, state in _REFUSALS if sign in text), None)


def _parse(url: str) -> sa.URL:
    scheme, _, rest = url.partition("://")
    try:
        parsed = sa.make_url(f"postgresql+psycopg://{rest}")
    except (ArgumentError, ValueError):
        parsed = None
    if scheme not in {"postgresql", "postgres"} or parsed is None or not 0 < (parsed.port or 5432) < 65536:
        # Not quoted: it may hold a password.
        raise ConfigError("The setting 'store' is wrong: it is no address like postgresql://USER@HOST/NAME.")
    return parsed


def _address(url: sa.URL) -> str:
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"{host if isinstance(host, str) else ','.join(host)}{port}/{url.database or url.username or ''}"


def _check(connection: Any, _record: Any, _proxy: Any) -> None:
    """Whether the server said goodbye to a connection of the pool: an idle one has nothing to say else. Costs no round trip."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError
