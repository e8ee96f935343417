"""A store moves from its file into PostgreSQL: every row, and the work goes on there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from djed.cli.main import main
from djed.config import load
from djed.errors import ConflictError, NotFoundError
from djed.model.artifact import Artifact
from djed.model.lock import Lock
from djed.service import Engine
from djed.store import events, facts
from djed.store.copy import copy_store, count_rows
from djed.store.schema import artifacts, inspections
from djed.store.service_schema import metadata
from djed.store.store import Store
from djed.toolbox.bell import Bell
from tests.support.engine import add, attach, claim, inspection, job, start
from tests.support.live import open_engine, outcomes, script, submit
from tests.support.postgres import Cluster

pytestmark = pytest.mark.needs("postgresql")


@pytest.fixture
def empty(postgresql: Cluster) -> Iterator[str]:
    name = postgresql.create()
    yield postgresql.url(name)
    postgresql.drop(name)


def silent(_table: str, _done: int, _count: int) -> None:
    """Nobody listens."""


def filled(data: Path, count: int = 5) -> None:
    """A store with something in every kind of table that matters to what goes on."""
    store = Store(data)
    ids = add(store, *(inspection(name=f"näme {number}") for number in range(count)))
    attach(store, ids[0], job("run:0", key="k"), job("run:1"))
    start(store)
    claim(store, limit=2)
    with store.change() as connection:
        facts.add_lock(connection, "key", Lock(python="3.11.7", platform="p", base="b", packages=()), 1.0)
        artifact = Artifact(
            digest="sha256:a", kind="venv", path="venv/a", size=2**40, manifest="m", contents=()
        )
        facts.add_artifact(connection, artifact, 1.5)
        connection.execute(sa.update(inspections).where(inspections.c.id == ids[0]).values(place=""))
    store.close()


def test_every_row_is_there_and_new_ones_come_behind_them(data: Path, empty: str) -> None:
    filled(data)
    steps: list[tuple[str, int, int]] = []
    counts = copy_store(data, empty, progress=lambda *step: steps.append(step))
    old, new = Store(data), Store(data, url=empty)
    with old.database.read() as here, new.database.read() as there:
        assert count_rows(here) == count_rows(there) == counts
        for table in metadata.sorted_tables:
            order = tuple(table.primary_key.columns)
            before = [row._asdict() for row in here.execute(sa.select(table).order_by(*order))]
            after = [row._asdict() for row in there.execute(sa.select(table).order_by(*order))]
            for row in before:
                if row.get("place") == "":
                    row["place"] = new.place
            assert sorted(map(repr, before)) == sorted(map(repr, after)), table.name
        position = events.latest(here)
        assert events.latest(there) == position
        assert there.execute(sa.select(artifacts.c.place)).scalar_one() == new.place
    (id_,) = add(new, inspection())
    with new.database.read() as there:
        assert [event.inspection for event in events.since(there, position)] == [id_]
    assert ("inspections", 5, 5) in steps
    old.close()
    new.close()


def test_a_large_table_is_copied_in_parts(data: Path, empty: str) -> None:
    store = Store(data)
    with store.change() as connection:
        events.add(connection, [(f"i{number}", "state", {}, 1.0, "default") for number in range(2500)])
    store.close()
    steps: list[tuple[str, int, int]] = []
    assert copy_store(data, empty, progress=lambda *step: steps.append(step))["events"] == 2500
    assert [step for step in steps if step[0] == "events"] == [
        ("events", 1000, 2500),
        ("events", 2000, 2500),
        ("events", 2500, 2500),
    ]


def test_a_database_that_has_something_is_left_alone(data: Path, empty: str) -> None:
    filled(data)
    copy_store(data, empty, progress=silent)
    with pytest.raises(ConflictError, match="not empty"):
        copy_store(data, empty, progress=silent)


def test_a_store_that_is_in_use_is_not_copied(data: Path, empty: str) -> None:
    filled(data)
    bell = Bell(data / "bells")
    try:
        with pytest.raises(ConflictError, match="in use"):
            copy_store(data, empty, progress=silent)
    finally:
        bell.close()
    assert copy_store(data, empty, progress=silent)["inspections"] == 5


def test_without_a_store_there_is_nothing_to_copy(data: Path, empty: str) -> None:
    with pytest.raises(NotFoundError):
        copy_store(data, empty, progress=silent)
    assert list(data.iterdir()) == []


def test_the_command_copies_and_shows_it(data: Path, empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    filled(data)
    assert main(["store", "copy", empty, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["rows"]["inspections"] == 5
    assert "Copied inspections 5 of 5" in told.err
    assert (
        main(["store", "info", "--json", "--set", f"store={empty.replace('postgres@', 'postgres:sesame@')}"])
        == 0
    )
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["kind"], found["rows"]["inspections"]) == ("postgresql", 5)
    assert "sesame" not in told.out + told.err


@pytest.mark.needs("uv")
def test_what_was_submitted_before_is_done_after(data: Path, empty: str) -> None:
    with open_engine(data) as engine:
        done = submit(engine, script("echo before\n"))
        engine.wait(done)
        waiting = submit(engine, script("echo after\n"), script("exit 3\n"))
    copy_store(data, empty, progress=silent)
    config = load({"data": str(data), "store": empty}, environ={})
    with Engine.open(config, levels=("none",)) as engine:
        assert outcomes(engine.wait(waiting)) == ["succeeded", "failed"]
        assert outcomes([engine.get(done[0])]) == ["succeeded"]
        run = next(item for item in engine.jobs(done[0]) if item.role == "run:0")
        assert engine.log(run.id) == b"before\n"
