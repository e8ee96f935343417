"""A store on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.store.store import Store

BOTH = [
    pytest.param(None, id="sqlite"),
    pytest.param("database_url", id="postgresql", marks=pytest.mark.needs("postgresql")),
]


@pytest.fixture(params=BOTH)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two users of one database: on PostgreSQL two machines, on SQLite two processes of one."""
    url = request.getfixturevalue(request.param) if request.param else None
    here = Store(tmp_path / "data", url=url)
    there = Store(tmp_path / ("there" if url else "data"), url=url)
    yield here, there
    here.close()
    there.close()


@pytest.fixture
def store(stores: tuple[Store, Store]) -> Store:
    """One of them."""
    return stores[0]
