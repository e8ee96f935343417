"""A new store and one that was migrated step by step have the same tables."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import djed.store
from djed.store.database import SCHEMA_VERSION, Database
from djed.store.migrate import upgrade
from djed.store.schema import metadata

MIGRATIONS = Path(djed.store.__path__[0]) / "migrations"


def tables(engine: sa.Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%' AND sql IS NOT NULL"
        )
        return {name: " ".join(sql.split()) for name, sql in rows}


def test_all_migrations_in_order_make_the_schema(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'migrated.sqlite'}")
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    Database(tmp_path / "new.sqlite").close()
    assert tables(engine) == tables(sa.create_engine(f"sqlite:///{tmp_path / 'new.sqlite'}"))


def test_the_newest_migration_is_the_version_that_a_new_store_gets() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION
