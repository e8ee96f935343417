"""What is kept: by age, count and size, for each namespace, and never what is in use."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from djed.config import load
from djed.intake import read_mapping
from djed.model.access import Namespace, Retention
from djed.model.principal import Principal
from djed.service import Engine
from djed.service.admin import Admin
from djed.store.schema import inspections
from djed.store.service_schema import idempotency, uploads
from djed.toolbox.digest import digest_bytes
from djed.worker.upkeep import tidy


@pytest.fixture
def engine(data: Path) -> Iterator[Engine]:
    with Engine.open(load()) as engine:
        yield engine


def kept(engine: Engine, namespace: str = "default") -> list[str]:
    """The names of a namespace's inspections, oldest first."""
    ours = engine.acting(Principal(name="test", namespace=namespace, scope="admin"))
    return [item.name for item in ours.page(sort="created", limit=1000).items]


def fill(engine: Engine, count: int, namespace: str = "default", *, size: int = 10, age: float = 0.0) -> None:
    """Final inspections ``0`` … of a size each, the first of them the oldest."""
    ours = engine.acting(Principal(name="test", namespace=namespace, scope="admin"))
    for number in range(count):
        ours.submit([read_mapping({"name": str(number), "run": {"command": ["true"]}}, config=engine.config)])
    with engine.store.change() as connection:
        connection.execute(
            sa.update(inspections)
            .where(inspections.c.namespace == namespace)
            .values(state="done", due=None, size=size, updated_at=time.time() - age)
        )


def keep(engine: Engine, namespace: str = "default", **bounds: float) -> None:
    Admin.of(engine.store).set_namespace(Namespace(name=namespace, retention=Retention(**bounds)))  # type: ignore[arg-type]


def test_without_bounds_everything_is_kept(engine: Engine) -> None:
    fill(engine, 3, age=1e8)
    assert tidy(engine.store, engine.config) == 0
    assert kept(engine) == ["0", "1", "2"]


def test_the_oldest_go_where_there_are_too_many(engine: Engine) -> None:
    keep(engine, count=2)
    fill(engine, 5)
    assert tidy(engine.store, engine.config) == 3
    assert kept(engine) == ["3", "4"]


def test_the_oldest_go_where_they_are_too_large(engine: Engine) -> None:
    keep(engine, size=25)
    fill(engine, 5, size=10)
    assert tidy(engine.store, engine.config) == 3
    assert kept(engine) == ["3", "4"]


def test_what_is_too_old_goes(engine: Engine) -> None:
    keep(engine, age=3600)
    fill(engine, 2, age=3700)
    ours = read_mapping({"name": "young", "run": {"command": ["true"]}}, config=engine.config)
    engine.submit([ours])
    assert tidy(engine.store, engine.config) == 2
    assert kept(engine) == ["young"]


def test_each_namespace_keeps_by_its_own_bounds_and_else_by_the_settings(engine: Engine) -> None:
    keep(engine, "thrifty", count=1)
    keep(engine, "plain")
    for namespace in ("thrifty", "plain"):
        fill(engine, 4, namespace)
    assert tidy(engine.store, replace(engine.config, retention_count=3)) == 4
    assert kept(engine, "thrifty") == ["3"]
    assert kept(engine, "plain") == ["1", "2", "3"]


def test_more_than_a_batch_goes_in_one_sweep(engine: Engine) -> None:
    keep(engine, count=1)
    fill(engine, 230)
    assert tidy(engine.store, engine.config) == 229


def test_what_is_not_final_is_never_removed(engine: Engine) -> None:
    keep(engine, count=1, age=1, size=1)
    fill(engine, 3)
    with engine.store.change() as connection:
        connection.execute(sa.update(inspections).values(state="running", updated_at=0))
    assert tidy(engine.store, engine.config) == 0
    assert len(kept(engine)) == 3


def test_an_upload_waits_for_its_request_and_goes_when_none_came(engine: Engine) -> None:
    digest = digest_bytes(b"data")
    engine.upload(digest, io.BytesIO(b"data"))
    os.utime(engine.store.blobs.path(digest), (0, 0))
    tidy(engine.store, engine.config)
    assert engine.has_file(digest)
    assert engine.usage().storage == 4
    with engine.store.change() as connection:
        connection.execute(sa.update(uploads).values(created_at=0))
    tidy(engine.store, engine.config)
    assert not engine.has_file(digest)
    assert not engine.store.blobs.has(digest)
    assert engine.usage().storage == 0


def test_old_idempotency_keys_are_forgotten(engine: Engine) -> None:
    asked = read_mapping({"run": {"command": ["true"]}}, config=engine.config)
    (first,) = engine.submit([asked], key="k")
    with engine.store.change() as connection:
        connection.execute(sa.update(idempotency).values(created_at=0))
    tidy(engine.store, engine.config)
    assert engine.submit([asked], key="k")[0].id != first.id
