"""Tokens, namespaces and the audit log, on both databases."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa

from djed.errors import ConflictError, NotFoundError, RequestError, TokenError, UnreadableError
from djed.model.access import Namespace, Quota, Retention
from djed.model.principal import Principal
from djed.service.admin import Admin
from djed.store.store import Store
from tests.support.engine import add, inspection


@pytest.fixture
def admin(store: Store) -> Admin:
    return Admin.of(store)


def test_a_token_stands_for_its_principal(admin: Admin) -> None:
    assert not admin.any_tokens()
    token, text = admin.create_token("ci", namespace="team", scope="read", ttl=60)
    assert admin.any_tokens()
    assert admin.check(text) == Principal(name="ci", namespace="team", scope="read", token=token.id)
    assert token.expires_at == pytest.approx(time.time() + 60, abs=10)
    assert admin.tokens() == [token]


def test_the_secret_of_a_token_is_not_in_the_store(admin: Admin, store: Store) -> None:
    token, text = admin.create_token("ci")
    secret = text.removeprefix(f"djed_{token.id}_")
    assert len(secret) == 43  # 256 bits
    with store.database.read() as connection:
        rows = [
            str(row)
            for table in ("tokens", "audit")
            for row in connection.execute(sa.text(f"SELECT * FROM {table}"))
        ]
    assert rows
    assert not [row for row in rows if secret in row]


def test_what_was_revoked_elsewhere_is_found_out(stores: tuple[Store, Store]) -> None:
    here, there = Admin.of(stores[0]), Admin.of(stores[1])
    token, text = here.create_token("ci")
    assert there.check(text).token == token.id
    here.revoke(token.id)
    with pytest.raises(TokenError, match="revoked"):
        here.check(text)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            there.check(text)
        except TokenError:
            return
    pytest.fail("the revoked token stayed good")


def test_revoking_again_changes_nothing(admin: Admin) -> None:
    token, _ = admin.create_token("ci")
    assert admin.revoke(token.id) == admin.revoke(token.id)
    with pytest.raises(NotFoundError):
        admin.revoke("nothing")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a\n"},
        {"namespace": "../x"},
        {"scope": "root"},
        {"ttl": 0},
        {"ttl": -1.0},
    ],
)
def test_tokens_that_make_no_sense_are_refused(admin: Admin, wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        admin.create_token(**{"name": "ci", **wrong})  # type: ignore[arg-type]
    assert admin.tokens() == []


def test_a_token_makes_its_namespace(admin: Admin) -> None:
    admin.create_token("ci", namespace="team")
    assert [item.name for item in admin.namespaces()] == ["default", "team"]


def test_a_namespace_keeps_when_it_was_made(admin: Admin) -> None:
    first = admin.set_namespace(Namespace(name="team", weight=2.0))
    quota, retention = Quota(queued=3, cpu=1.5, storage=2**40), Retention(age=60.0)
    second = admin.set_namespace(Namespace(name="team", quota=quota, retention=retention))
    assert second == Namespace(name="team", quota=quota, retention=retention, created_at=first.created_at)
    assert second.created_at > 0


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_is_a_share(admin: Admin, weight: float) -> None:
    with pytest.raises(RequestError):
        admin.set_namespace(Namespace(name="team", weight=weight))


def test_many_make_the_same_namespace_at_once(stores: tuple[Store, Store]) -> None:
    troubles: list[BaseException] = []

    def make(store: Store) -> None:
        try:
            Admin.of(store).create_token("ci", namespace="team")
        except BaseException as error:  # noqa: BLE001 (looked at below)
            troubles.append(error)

    threads = [threading.Thread(target=make, args=(store,)) for store in stores * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles
    assert len(Admin.of(stores[0]).tokens()) == 8


def test_only_an_empty_namespace_can_go_and_its_tokens_go_with_it(admin: Admin, store: Store) -> None:
    _, text = admin.create_token("ci", namespace="team")
    (id_,) = add(store, inspection())
    with store.change() as connection:
        connection.execute(sa.text("UPDATE inspections SET namespace = 'team'"))
    with pytest.raises(ConflictError, match="inspections"):
        admin.remove_namespace("team")
    with store.change() as connection:
        connection.execute(sa.text("DELETE FROM inspections WHERE id = :id"), {"id": id_})
    admin.remove_namespace("team")
    with pytest.raises(TokenError):
        admin.check(text)
    with pytest.raises(NotFoundError):
        admin.remove_namespace("team")
    with pytest.raises(ConflictError):
        admin.remove_namespace("default")


def test_every_act_is_on_record_with_who_did_it(admin: Admin) -> None:
    token, _ = admin.create_token("ci", namespace="team")
    boss = Principal(name="boss", namespace="team", scope="admin", token="0123")
    admin.acting(boss).revoke(token.id)
    admin.acting(boss).remove_namespace("team")
    entries = admin.audit().items
    assert [(entry.actor, entry.action, entry.subject) for entry in entries] == [
        ("boss", "namespace.remove", "team"),
        ("boss", "token.revoke", token.id),
        ("local", "token.create", token.id),
        ("local", "namespace.set", "team"),
    ]
    assert entries[0].token == "0123"
    assert entries[1].detail == {"name": "ci"}
    assert [entry.actor for entry in admin.audit(namespace="team").items] == ["boss", "boss"]


def test_the_log_is_read_page_by_page(admin: Admin) -> None:
    for number in range(5):
        admin.set_namespace(Namespace(name=f"n{number}"))
    seen, after = [], None
    while True:
        page = admin.audit(limit=2, after=after)
        seen += [entry.subject for entry in page.items]
        after = page.next
        if after is None:
            break
        admin.set_namespace(Namespace(name="later"))  # what is new does not shift what is older
    assert seen == ["n4", "n3", "n2", "n1", "n0"]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 19, "1;", "\u0661"])
def test_a_cursor_that_is_none_is_refused(admin: Admin, cursor: str) -> None:
    with pytest.raises(UnreadableError):
        admin.audit(after=cursor)
