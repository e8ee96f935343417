"""Many set secrets at the same moment, on both databases: each counts, and the bound of a namespace holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from djed.errors import ConflictError
from djed.model.secret import SECRETS_PER_NAMESPACE
from djed.store import secrets
from djed.store.store import Store


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def store(request: pytest.FixtureRequest, data: Path) -> Iterator[Store]:
    data.mkdir(exist_ok=True)
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else None
    store = Store(data, url=url)
    yield store
    store.close()


def _put(store: Store, name: str) -> bool:
    try:
        with store.change() as connection:
            secrets.put(connection, "team", name, sealed=f"sealed {name}", now=time.time())
    except ConflictError:
        return False
    return True


def test_of_one_name_there_is_one(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: _put(store, "token"), range(24)))
    with store.database.read() as connection:
        assert secrets.names(connection, "team") == ["token"]


def test_no_more_are_kept_than_a_namespace_may_have(store: Store) -> None:
    for number in range(SECRETS_PER_NAMESPACE - 3):
        _put(store, f"n{number}")
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda number: _put(store, f"more{number}"), range(16)))
    assert sum(kept) == 3
    with store.database.read() as connection:
        assert len(secrets.names(connection, "team")) == SECRETS_PER_NAMESPACE
