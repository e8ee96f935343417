"""What an engine in the name of somebody shows and does: within a namespace, once for each key, on record."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from djed.config import load
from djed.errors import ConflictError, NotFoundError, RequestError, TooLargeError
from djed.intake import Submission, read_mapping
from djed.model.access import Namespace
from djed.model.principal import Principal, Scope
from djed.service import Engine
from djed.service.admin import Admin
from djed.toolbox.digest import digest_bytes


@pytest.fixture
def engine(data: Path) -> Iterator[Engine]:
    with Engine.open(load({"limits.files": "1000"})) as engine:
        yield engine


def principal(namespace: str = "team", scope: Scope = "manage") -> Principal:
    return Principal(name="someone", namespace=namespace, scope=scope, token="t1")


def request(engine: Engine, **fields: Any) -> Submission:
    return read_mapping({"run": {"command": ["true"]}, **fields}, config=engine.config)


def test_what_one_namespace_asks_for_another_does_not_see(engine: Engine) -> None:
    ours, theirs = engine.acting(principal("a")), engine.acting(principal("b"))
    (item,) = ours.submit([request(engine, name="mine")])
    assert ours.get(item.id[:4]).namespace == "a"
    assert [found.id for found in ours.page().items] == [item.id]
    assert theirs.page().items == []
    for reference in (item.id, item.id[:4], "mine", "latest"):
        with pytest.raises(NotFoundError):
            theirs.get(reference)
    for act in (theirs.cancel, theirs.retry, theirs.jobs, theirs.attempts, theirs.queue):
        with pytest.raises(NotFoundError):
            act(item.id)
    with pytest.raises(NotFoundError):
        theirs.remove([item.id])
    with pytest.raises(NotFoundError):
        theirs.events([item.id])


def test_what_others_do_is_on_record_and_what_we_do_on_our_own_machine_is_not(engine: Engine) -> None:
    (item,) = engine.acting(principal()).submit([request(engine)])
    engine.submit([request(engine)])
    engine.acting(principal()).cancel(item.id)
    (second, first) = Admin.of(engine.store).audit().items
    assert (first.action, first.actor, first.token, first.subject) == (
        "inspection.submit",
        "someone",
        "t1",
        item.id,
    )
    assert second.action == "inspection.cancel"


def test_one_key_makes_one_inspection_however_many_ask_at_once(engine: Engine) -> None:
    ours = engine.acting(principal())
    found: list[str] = []

    def ask() -> None:
        found.append(ours.submit([request(engine)], key="k")[0].id)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert len(set(found)) == 1
    assert len(ours.page().items) == 1
    assert engine.acting(principal("other")).submit([request(engine)], key="k")[0].id not in found


def test_a_key_stands_for_one_request_only(engine: Engine) -> None:
    engine.submit([request(engine)], key="k")
    with pytest.raises(ConflictError, match="used for another request"):
        engine.submit([request(engine, run={"command": ["false"]})], key="k")
    with pytest.raises(RequestError, match="printable"):
        engine.submit([request(engine)], key="a\nb")


def test_a_request_may_name_only_what_its_namespace_uploaded(engine: Engine) -> None:
    ours, theirs = engine.acting(principal("a")), engine.acting(principal("b"))
    digest = digest_bytes(b"secret data")
    assert not ours.has_file(digest)
    assert ours.upload(digest, io.BytesIO(b"secret data")) == 11
    assert ours.has_file(digest)
    assert not theirs.has_file(digest)
    files = [{"path": "data", "digest": digest, "size": 11}]
    asked = request(engine, environment={"files": files})
    assert ours.submit([asked])
    with pytest.raises(RequestError, match="was not uploaded") as caught:
        theirs.submit([asked])
    assert [fault.path for fault in caught.value.faults] == ["environment.files[0]"]
    assert theirs.page().items == []


def test_an_upload_is_what_it_says_and_not_too_large(engine: Engine) -> None:
    with pytest.raises(RequestError, match="has the digest"):
        engine.upload(digest_bytes(b"a"), io.BytesIO(b"b"))
    with pytest.raises(TooLargeError):
        engine.upload(digest_bytes(b"a" * 1001), io.BytesIO(b"a" * 1001))
    assert list(engine.store.blobs.all()) == []


def test_a_clone_is_the_same_request_with_some_fields_changed(engine: Engine) -> None:
    (before,) = engine.submit([request(engine, name="first", environment={"python": "3.11"})])
    after = engine.clone(before.id, {"name": "second", "run": {"repeat": 7}, "environment": {"python": None}})
    assert after.id != before.id
    assert after.name == "second"
    assert after.request.run is not None
    assert after.request.run.repeat == 7
    assert after.request.run.command == ("true",)
    assert after.request.environment.python is None
    with pytest.raises(RequestError, match="repeat"):
        engine.clone(before.id, {"run": {"repeat": -1}})


def test_a_clone_may_not_name_what_was_not_uploaded(engine: Engine) -> None:
    ours = engine.acting(principal("a"))
    (before,) = ours.submit([request(engine)])
    engine.store.blobs.put(b"theirs")
    files = [{"path": "x", "digest": digest_bytes(b"theirs"), "size": 6}]
    with pytest.raises(RequestError, match="was not uploaded"):
        ours.clone(before.id, {"environment": {"files": files}})


def test_the_highest_priority_of_a_namespace_is_a_bound(engine: Engine) -> None:
    Admin.of(engine.store).set_namespace(Namespace(name="team", priority=3))
    ours = engine.acting(principal())
    assert ours.submit([request(engine, priority=3)])
    with pytest.raises(RequestError, match="above 3"):
        ours.submit([request(engine, priority=4)])


def test_a_secret_that_is_not_there_is_named_with_the_nearest(engine: Engine) -> None:
    engine.set_secret("api_key", b"value")
    asked = request(engine, run={"command": ["true"], "secrets": ["api_kay"]})
    with pytest.raises(RequestError) as caught:
        engine.submit([asked])
    assert [(fault.path, fault.hint) for fault in caught.value.faults] == [
        ("run.secrets[0]", "Did you mean 'api_key'?")
    ]
    with pytest.raises(RequestError):
        engine.acting(principal("other")).submit(
            [request(engine, run={"command": ["true"], "secrets": ["api_key"]})]
        )


def test_an_identical_result_of_another_namespace_is_no_answer(engine: Engine) -> None:
    ours, theirs = engine.acting(principal("a")), engine.acting(principal("b"))
    asked = request(engine, reuse="result", run={"command": ["true"]})
    (first,) = ours.submit([asked])
    with engine.store.change() as connection:
        connection.exec_driver_sql("UPDATE inspections SET state = 'done', outcome = 'succeeded', due = NULL")
    assert ours.submit([asked])[0].reused == first.id
    assert theirs.submit([asked])[0].reused is None
