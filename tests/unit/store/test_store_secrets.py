"""Secrets by name, each namespace for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from djed.config import Config
from djed.errors import ConflictError, NotFoundError, RequestError
from djed.model.secret import SECRET_SIZE, SECRETS_PER_NAMESPACE
from djed.store import secrets
from djed.store.service_schema import secrets as table


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    table.create(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _put(connection: sa.Connection, namespace: str, *names: str) -> None:
    for name in names:
        secrets.put(connection, namespace, name, sealed=f"sealed {name}", now=1.0)


def test_a_namespace_sees_its_own_alone(connection: sa.Connection) -> None:
    _put(connection, "a", "two", "one")
    _put(connection, "b", "three")
    assert secrets.names(connection, "a") == ["one", "two"]
    assert secrets.get(connection, "a", "one") == "sealed one"
    assert secrets.get(connection, "b", "one") is None
    with pytest.raises(NotFoundError):
        secrets.remove(connection, "b", "one")
    secrets.remove(connection, "a", "one")
    assert secrets.names(connection, "a") == ["two"]


def test_a_new_value_takes_the_place_of_the_old_one(connection: sa.Connection) -> None:
    _put(connection, "a", "one")
    secrets.put(connection, "a", "one", sealed="new", now=2.0)
    assert secrets.names(connection, "a") == ["one"]
    assert secrets.get(connection, "a", "one") == "new"


def test_a_namespace_that_is_full_takes_new_values_but_no_new_names(connection: sa.Connection) -> None:
    _put(connection, "a", *(f"n{number}" for number in range(SECRETS_PER_NAMESPACE)))
    _put(connection, "a", "n0")
    _put(connection, "b", "n0")
    with pytest.raises(ConflictError, match="holds 100 secrets"):
        _put(connection, "a", "one-more")


def test_unknown_names_are_faults_with_the_nearest_that_is_known(connection: sa.Connection) -> None:
    _put(connection, "a", "registry-token")
    faults = secrets.unknown(connection, "a", ["registry-token", "registry-tokn", "x"])
    assert [(fault.path, fault.hint) for fault in faults] == [
        ("run.secrets[1]", "Did you mean 'registry-token'?"),
        ("run.secrets[2]", "Store it first."),
    ]
    assert secrets.unknown(connection, "a", []) == ()
    (fault,) = secrets.unknown(connection, "b", ["registry-token"])
    assert fault.message == "there is no secret 'registry-token' in the namespace b"


@pytest.mark.parametrize("name", ["a", "_", "A.b-c_9", "x" * 63])
@pytest.mark.parametrize("size", [1, SECRET_SIZE])
def test_what_can_be_kept(name: str, size: int) -> None:
    secrets.check(name, b"x" * size)


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "9", "a/b", "a\n", "a b", "ä", "x" * 64, "a\0"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(RequestError, match="not the name of a secret"):
        secrets.check(name, b"value")


@pytest.mark.parametrize("size", [0, SECRET_SIZE + 1])
def test_what_is_no_value(size: int) -> None:
    with pytest.raises(RequestError, match="it may have 1 to 65,536"):
        secrets.check("name", b"x" * size)


def test_the_key_lies_in_the_data_folder_or_where_the_setting_says(tmp_path: Path) -> None:
    secrets.seal_of(Config(data=tmp_path)).seal(b"x", context="c")
    secrets.seal_of(Config(data=tmp_path, secrets_key=tmp_path / "other.key")).seal(b"x", context="c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.key", "secrets.key"]


def test_no_two_secrets_are_sealed_for_the_same(tmp_path: Path) -> None:
    places = [("a", "b"), ("a", "c"), ("b", "b")]
    assert len({secrets.context(*place) for place in places}) == len(places)
