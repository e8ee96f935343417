"""Which SQLite to use, and whether its write-ahead log can be trusted."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["sqlite_driver", "sqlite_wal_safe"]


def sqlite_driver() -> Any:
    """The DB-API module: ``pysqlite3``, whose wheel carries a current SQLite, else the one of the standard library."""
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return importlib.import_module("sqlite3")


def sqlite_wal_safe(version: tuple[int, ...]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug (https://sqlite.org/wal.html#walresetbug), which corrupts a file that two write."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
