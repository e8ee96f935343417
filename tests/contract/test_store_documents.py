"""One inspection as JSON and inspections by page, on both databases."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from djed.errors import NotFoundError, UnreadableError
from djed.model.codec import decode
from djed.model.inspection import Inspection
from djed.model.summary import Sort
from djed.store import documents, inspections, lookup
from djed.store.schema import inspections as table
from djed.store.store import Store
from tests.support.engine import add, claim, inspection


def submit(store: Store, name: str = "n", namespace: str = "default") -> str:
    (id_,) = add(store, replace(inspection(name=name), namespace=namespace))
    return id_


def whole(store: Store, reference: str, namespace: str = "default") -> documents.Document:
    with store.database.read() as connection:
        return documents.document(connection, reference, namespace=namespace)


def version(store: Store, reference: str) -> documents.Version:
    with store.database.read() as connection:
        return documents.version(connection, reference, namespace="default")


def names(store: Store, *states: str, sort: Sort = "-created", limit: int = 2) -> list[str]:
    """The names of a list, page by page."""
    found: list[str] = []
    after = None
    while True:
        with store.database.read() as connection:
            page = lookup.page(
                connection, "default", states=states, name=None, sort=sort, limit=limit, after=after
            )
        assert len(page.items) <= limit
        found += [item.name for item in page.items]
        after = page.next
        if after is None:
            return found


def test_the_json_is_the_noun(store: Store) -> None:
    id_ = submit(store, name="großes")
    told = json.loads(whole(store, id_).body)
    with store.database.read() as connection:
        noun = lookup.get(connection, id_)
    assert decode(Inspection, {**told, "token": noun.token}) == noun
    assert told.keys() == {*Inspection.__dataclass_fields__, "final"} - {"token"}


def test_each_change_makes_another_version(store: Store) -> None:
    id_ = submit(store)
    seen = {version(store, id_)}
    claim(store)
    seen.add(version(store, id_))
    with store.change() as connection:
        connection.execute(table.update().where(table.c.id == id_).values(updated_at=2.0))
    seen.add(version(store, id_))
    with store.change() as connection:
        inspections.flag_cancel(connection, id_)
    seen.add(version(store, id_))
    assert len(seen) == 4
    assert whole(store, id_).version == version(store, id_)


def test_what_is_named_otherwise_is_found_and_what_belongs_to_others_is_not(store: Store) -> None:
    id_, other = submit(store, name="mine"), submit(store, name="mine", namespace="other")
    for reference in (id_, id_[:8], "mine", "latest"):
        assert version(store, reference).id == id_
    for reference in (other, other[:8], "gone", "a\0b", "", "x" * 1000):
        with pytest.raises(NotFoundError):
            whole(store, reference)
    assert whole(store, "mine", namespace="other").version.id == other


def test_pages_hold_each_once_in_every_order(store: Store) -> None:
    for name in ("c", "a", "b", "a", "d"):
        submit(store, name=name)
    submit(store, name="x", namespace="other")
    assert names(store) == ["d", "a", "b", "a", "c"]
    assert names(store, sort="created") == ["c", "a", "b", "a", "d"]
    assert names(store, sort="name") == ["a", "a", "b", "c", "d"]
    assert names(store, sort="-name") == ["d", "c", "b", "a", "a"]


def test_pages_of_states_and_outcomes_are_one_list(store: Store) -> None:
    ends = {
        "a": ("done", "succeeded"),
        "b": ("done", "failed"),
        "c": ("refused", None),
        "e": ("running", None),
    }
    ids = {name: submit(store, name=name) for name in "abcde"}
    with store.change() as connection:
        for name, (state, outcome) in ends.items():
            connection.execute(
                table.update().where(table.c.id == ids[name]).values(state=state, outcome=outcome)
            )
    assert names(store, "done") == ["b", "a"]
    assert names(store, "failed", "queued", "running") == ["e", "d", "b"]
    assert names(store, "done", "succeeded", "refused") == ["c", "b", "a"]  # each once
    assert names(store, "queued", "done", "running", sort="name", limit=1) == ["a", "b", "d", "e"]
    assert names(store, "cancelled") == []


@pytest.mark.parametrize(
    "values", [["\ud800", 1], ["\0", 1], ["a"], [1], [["a"], 1], ["a", True], ["a", 2**63]]
)
def test_a_forged_cursor_is_told(store: Store, values: list[object]) -> None:
    with store.database.read() as connection, pytest.raises(UnreadableError):
        lookup.page(
            connection,
            "default",
            states=(),
            name=None,
            sort="name",
            limit=1,
            after=json.dumps(values).encode().hex(),
        )
