"""Migrations: an older store is brought up to date, one step after another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic.command import upgrade as alembic_upgrade
from alembic.config import Config as AlembicConfig

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["upgrade"]


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Apply what is missing up to ``revision``, within the caller's transaction."""
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    settings.attributes["connection"] = connection
    alembic_upgrade(settings, revision)
