"""A new store and one that was migrated step by step are the same, on both databases, and what was in it is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

import djed.store
from djed.store.database import SCHEMA_VERSION, Database, open_database
from djed.store.migrate import upgrade
from tests.support.postgres import Cluster

MIGRATIONS = Path(djed.store.__path__[0]) / "migrations"
BOTH = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.needs("postgresql")),
]

Opener = Callable[[], Database]


class Places:
    """New databases of one kind, each of which can be opened as a store and as what it is."""

    def __init__(self, folder: Path, cluster: Cluster | None) -> None:
        self._folder, self._cluster = folder, cluster
        self._names: list[str] = []
        self._engines: list[sa.Engine] = []

    def new(self) -> tuple[Opener, sa.Engine]:
        file = self._folder / f"{len(self._engines)}.sqlite"
        url = None
        if self._cluster is not None:
            self._names.append(self._cluster.create())
            url = self._cluster.url(self._names[-1])
        engine = sa.create_engine(
            f"sqlite:///{file}" if url is None else url.replace("postgresql", "postgresql+psycopg", 1)
        )
        self._engines.append(engine)
        return (lambda: open_database(file, url)), engine

    def close(self) -> None:
        for engine in self._engines:
            engine.dispose()
        for name in self._names:
            assert self._cluster is not None
            self._cluster.drop(name)


@pytest.fixture(params=BOTH)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    cluster = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    places = Places(tmp_path, cluster)
    yield places
    places.close()


def structure(engine: sa.Engine) -> dict[str, Any]:
    """All that a database says of its tables, in a form that can be compared."""
    inspector = sa.inspect(engine)
    found: dict[str, Any] = {}
    for table in inspector.get_table_names():
        columns = {
            column["name"]: (
                repr(column["type"]),
                column["nullable"],
                column["default"] and str(column["default"]).strip("'").removesuffix("'::text"),
            )
            for column in inspector.get_columns(table)
        }
        foreign = [
            (key["constrained_columns"], key["referred_table"], key["referred_columns"], key["options"])
            for key in inspector.get_foreign_keys(table)
        ]
        unique = [key["column_names"] for key in inspector.get_unique_constraints(table)]
        primary = inspector.get_pk_constraint(table)["constrained_columns"]
        found[table] = (columns, sorted(map(repr, foreign)), sorted(unique), primary)
    found["indexes"] = indexes(engine)
    return found


def indexes(engine: sa.Engine) -> dict[str, str]:
    queries = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()",
    }
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(queries[engine.dialect.name])
        return {name: " ".join(text.split()) for name, text in rows}


def migrate(engine: sa.Engine, revision: str) -> None:
    with engine.begin() as connection:
        upgrade(connection, revision)


def test_all_migrations_in_order_make_the_schema(places: Places) -> None:
    opened, new = places.new()
    opened().close()
    _, migrated = places.new()
    migrate(migrated, "head")
    expected, got = structure(new), structure(migrated)
    assert got.keys() == expected.keys()
    for table in expected:
        assert got[table] == expected[table], table


def test_the_newest_migration_is_the_version_that_a_new_store_gets() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION


OLD_ROWS = (
    (
        "INSERT INTO inspections (id, name, lead, state, request, request_digest, created_at, updated_at)"
        " VALUES ('old', 'n', 1, 'done', '{}', 'd', 1.5, 2.5)"
    ),
    (
        "INSERT INTO jobs (id, kind, lead, state, spec, target, created_at)"
        " VALUES ('j', 'run', 1, 'succeeded', '{}', 'local', 1.5)"
    ),
    "INSERT INTO job_uses (inspection, role, job) VALUES ('old', 'run:0', 'j')",
    "INSERT INTO attempts (name, job, number, node, state, started_at) VALUES ('djed-j-1', 'j', 1, 'n', 'accepted', 1)",
    "INSERT INTO artifacts (digest, kind, record, size, created_at, used_at) VALUES ('sha256:a', 'venv', '{}', 7, 1, 2)",
    "INSERT INTO locks (key, record, created_at) VALUES ('k', '{}', 1)",
    "INSERT INTO observations (inspection, kind, subject, value, created_at) VALUES ('old', 'builds', '{}', '{}', 1)",
    "INSERT INTO events (inspection, kind, data, at) VALUES ('old', 'done', '{}', 1)",
)


def test_a_store_of_the_first_version_keeps_what_is_in_it(places: Places) -> None:
    opened, engine = places.new()
    migrate(engine, "0001")
    with engine.begin() as connection:
        for row in OLD_ROWS:
            connection.exec_driver_sql(row)
    database = opened()
    assert database.version() == SCHEMA_VERSION
    database.close()
    with engine.connect() as connection:
        artifact = connection.exec_driver_sql("SELECT digest, place, size, used_at FROM artifacts").one()
        event = connection.exec_driver_sql("SELECT seq, xact, namespace FROM events").one()
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("inspections", "jobs", "job_uses", "attempts", "locks", "observations")
        ]
        kept = connection.exec_driver_sql("SELECT id, namespace, rank, updated_at FROM inspections").one()
    assert tuple(artifact) == ("sha256:a", "", 7, 2.0)
    assert tuple(event) == (1, 0, "default")
    assert counts == [1] * 6
    assert tuple(kept) == ("old", "default", 0, 2.5)


@pytest.mark.parametrize("beginning", ["", "0001"], ids=["new", "first version"])
def test_many_that_open_a_store_at_once_make_it_once(places: Places, beginning: str) -> None:
    opened, engine = places.new()
    if beginning:
        migrate(engine, beginning)
    gate = threading.Barrier(4)
    versions: list[str] = []

    def open_it() -> None:
        gate.wait()
        database = opened()
        versions.append(database.version())
        database.close()

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [SCHEMA_VERSION] * 4
