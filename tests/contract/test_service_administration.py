"""Administration does the same in the store and over a server, and a token opens what it says and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from djed.client import Client
from djed.errors import AccessError, ConflictError, NotFoundError, RequestError, TokenError, UnreadableError
from djed.model.access import Namespace, Quota
from djed.service.admin import Admin
from djed.testing.service_contract import asking
from tests.support.live import open_engine
from tests.support.server import Served, server

pytestmark = pytest.mark.needs("uv")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with server(tmp_path_factory.mktemp("served") / "data", "--no-work") as made:
        yield made


@pytest.fixture(scope="module")
def there(served: Served) -> Iterator[Client]:
    with Client(served.url, served.token) as client:
        yield client


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with open_engine(tmp_path_factory.mktemp("here") / "data") as engine:
        yield Admin.of(engine.store)


@pytest.fixture(params=["here", "there"])
def admin(request: pytest.FixtureRequest, here: Admin, there: Client) -> Admin | Client:
    return here if request.param == "here" else there


def test_a_token_is_told_once_listed_and_revoked(admin: Admin | Client) -> None:
    token, text = admin.create_token("ci", namespace="team", scope="read", ttl=60.0)
    assert text.startswith(f"djed_{token.id}_")
    assert (token.name, token.namespace, token.scope) == ("ci", "team", "read")
    assert token.expires_at is not None
    assert token in admin.tokens()
    assert admin.revoke(token.id).revoked_at is not None
    with pytest.raises(NotFoundError):
        admin.revoke("0123456789abcdef")


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 64])
def test_a_name_that_is_none_is_a_mistake(admin: Admin | Client, name: str) -> None:
    with pytest.raises(RequestError):
        admin.create_token(name, namespace="default", scope="read", ttl=None)


def test_a_namespace_has_its_share_and_quotas(admin: Admin | Client) -> None:
    kept = admin.set_namespace(Namespace(name="lab", weight=2.0, priority=7, quota=Quota(running=3, cpu=1.5)))
    assert (kept.weight, kept.priority, kept.quota) == (2.0, 7, Quota(running=3, cpu=1.5))
    assert kept in admin.namespaces()
    admin.remove_namespace("lab")
    assert "lab" not in {item.name for item in admin.namespaces()}
    with pytest.raises(NotFoundError):
        admin.remove_namespace("lab")
    with pytest.raises(ConflictError, match="The namespace 'default' stays"):
        admin.remove_namespace("default")


def test_what_was_done_is_on_record_page_by_page(admin: Admin | Client) -> None:
    made = [
        admin.create_token(f"audit-{number}", namespace="default", scope="read")[0].id for number in range(3)
    ]
    found: list[str | None] = []
    after = None
    while len(found) < 3:
        page = admin.audit(limit=1, after=after, namespace="default")
        found += [item.subject for item in page.items if item.action == "token.create"]
        after = page.next
    assert found == made[::-1]
    with pytest.raises(UnreadableError):
        admin.audit(after="nonsense")


def test_a_token_opens_its_namespace_and_no_other(served: Served, there: Client) -> None:
    _, ours = there.create_token("ours", namespace="ours", scope="submit")
    _, theirs = there.create_token("theirs", namespace="theirs", scope="manage")
    with Client(served.url, ours) as mine, Client(served.url, theirs) as other:
        (item,) = mine.submit([asking()])
        assert mine.whoami().namespace == "ours"
        assert [one.id for one in mine.page().items] == [item.id]
        assert other.page().items == ()
        for look in (other.get, other.jobs, other.cancel, other.retry, lambda id_: other.remove([id_])):
            with pytest.raises(NotFoundError, match=f"There is no inspection '{item.id}'"):
                look(item.id)


def test_a_scope_is_no_more_than_it_says(served: Served, there: Client) -> None:
    _, text = there.create_token("reader", namespace="ours", scope="read")
    with Client(served.url, text) as reader:
        reader.page()
        for act in (
            lambda: reader.submit([asking()]),
            lambda: reader.retry("latest"),
            reader.webhooks,
            reader.tokens,
            reader.gc,
        ):
            with pytest.raises(AccessError):
                act()


def test_a_revoked_token_opens_nothing(served: Served, there: Client) -> None:
    token, text = there.create_token("gone", namespace="ours", scope="submit")
    with Client(served.url, text) as client:
        client.page()
        there.revoke(token.id)
        with pytest.raises(TokenError, match="This token was revoked"):
            client.page()
