"""Each method asks for what it should, and makes nouns of what comes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from djed.client import Client
from djed.config import load
from djed.errors import AccessError, ConfigError, ConflictError, NotFoundError, RequestError, ServerError
from djed.intake.submission import Submission
from djed.model.access import Namespace, Quota
from djed.model.codec import encode
from djed.model.inspection import Inspection
from djed.model.request import File, Request, Run
from djed.model.summary import Page

DIGEST = "sha256:" + "a" * 64
REQUEST = Request(name="matmul", run=Run(script=File(path="m.py", digest=DIGEST, size=3)))
ITEM = Inspection(id="abc123", name="matmul", state="done", request=REQUEST, created_at=1.0, updated_at=2.0)
WHOLE = encode(ITEM)
SUBMISSION = Submission(request=REQUEST, contents={DIGEST: b"abc"})
GROUPS = "POST /v1/groups"
FILE = f"/v1/files/{DIGEST}"

# A method with its arguments, and what it asks for.
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("get", ("latest",), {}, "GET /v1/inspections/latest"),
    ("retry", ("abc",), {}, "POST /v1/inspections/abc/retry"),
    ("cancel", ("abc",), {}, "POST /v1/inspections/abc/cancel"),
    ("clone", ("abc", {"name": "x"}), {}, "POST /v1/inspections/abc/clone"),
    ("jobs", ("abc",), {}, "GET /v1/inspections/abc/jobs"),
    ("attempts", ("abc",), {}, "GET /v1/inspections/abc/attempts"),
    ("difference", ("a.1", "b-2"), {}, "GET /v1/inspections/a.1/diff/b-2"),
    ("queue", ("abc",), {}, "GET /v1/inspections/abc/queue"),
    ("log", ("job1", "stderr", 7, 9), {}, "GET /v1/jobs/job1/log?stream=stderr&offset=7&limit=9"),
    ("artifact", (DIGEST,), {}, f"GET /v1/artifacts/{DIGEST}"),
    ("artifacts", (), {"after": "c"}, "GET /v1/artifacts?limit=100&after=c"),
    ("nodes", (), {}, "GET /v1/nodes"),
    ("usage", (), {}, "GET /v1/usage"),
    ("secrets", (), {}, "GET /v1/secrets"),
    ("set_secret", ("n", b"v"), {}, "PUT /v1/secrets/n"),
    ("remove_secret", ("n",), {}, "DELETE /v1/secrets/n"),
    ("webhooks", (), {}, "GET /v1/webhooks"),
    ("remove_webhook", ("w",), {}, "DELETE /v1/webhooks/w"),
    ("deliveries", ("w",), {"limit": 3}, "GET /v1/webhooks/w/deliveries?limit=3"),
    ("gc", (), {"dry_run": True}, "POST /v1/gc"),
    ("whoami", (), {}, "GET /v1/whoami"),
    ("tokens", (), {}, "GET /v1/tokens"),
    ("revoke", ("t",), {}, "DELETE /v1/tokens/t"),
    ("namespaces", (), {}, "GET /v1/namespaces"),
    ("remove_namespace", ("n",), {}, "DELETE /v1/namespaces/n"),
    ("audit", (), {"namespace": "n"}, "GET /v1/audit?limit=100&namespace=n"),
    ("observations", ("abc",), {"kind": "fails", "limit": 5}, "GET /v1/observations?inspection=abc&kind=fails&limit=5"),
    ("page", (), {"states": ["failed"], "name": "x"}, "GET /v1/inspections?state=failed&name=x&sort=-created&limit=50"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "arguments", "options", "asked"), CALLS)
def test_a_method_asks_for_what_it_is_called(
    client: Client, script: Any, method: str, arguments: tuple[Any, ...], options: dict[str, Any], asked: str
) -> None:
    with suppress(NotFoundError):  # the script knows nothing; what was asked is what is looked at
        getattr(client, method)(*arguments, **options)
    assert script.asked == [asked]


def test_a_noun_comes_back_whole(client: Client, script: Any) -> None:
    script.on("GET /v1/inspections/abc123", {**WHOLE, "final": True, "from_the_future": 1})
    assert client.get("abc123") == ITEM


def test_a_page_has_its_cursor(client: Client, script: Any) -> None:
    script.on(
        "GET /v1/observations", {"items": [{"seq": 1, "inspection": "a", "kind": "fails"}], "next": "c"}
    )
    page = client.observations()
    assert ([item.seq for item in page.items], page.next) == ([1], "c")


def test_only_what_the_server_lacks_is_uploaded(client: Client, script: Any) -> None:
    script.on(GROUPS, {"items": [WHOLE]})
    script.on(f"PUT {FILE}", httpx2.Response(204))
    assert client.submit([SUBMISSION]) == (ITEM,)
    assert script.asked == [f"HEAD {FILE}", f"PUT {FILE}", GROUPS]
    assert script.seen[1].content == b"abc"

    script.seen.clear()
    script.on(f"HEAD {FILE}", httpx2.Response(204))
    client.submit([SUBMISSION], fresh=True)
    assert script.asked == [f"HEAD {FILE}", GROUPS]
    assert script.bodies == [{"requests": [encode(REQUEST)], "fresh": True}]


def test_why_nothing_may_be_uploaded_is_told(
    client: Client, script: Any, refusing: Callable[..., httpx2.Response]
) -> None:
    script.on(f"HEAD {FILE}", httpx2.Response(403))
    script.on(f"PUT {FILE}", refusing(403, "access", "This needs the scope 'submit'."))
    with pytest.raises(AccessError, match="needs the scope"):
        client.submit([SUBMISSION])


def test_a_submission_has_a_key_of_its_own_and_keeps_it_when_it_is_repeated(
    client: Client, script: Any
) -> None:
    script.on(f"HEAD {FILE}", httpx2.Response(204))
    script.on(GROUPS, httpx2.ReadError("cut"), {"items": [WHOLE]})
    client.submit([SUBMISSION])
    client.submit([SUBMISSION])
    client.submit([SUBMISSION], key="mine")
    keys = [request.headers["idempotency-key"] for request in script.seen if request.method == "POST"]
    assert keys[0] == keys[1]
    assert len({*keys}) == 3
    assert keys[-1] == "mine"


def test_what_is_not_over_is_told_before_anything_is_removed(
    client: Client, script: Any, refusing: Callable[..., httpx2.Response]
) -> None:
    script.on("GET /v1/inspections/over", {**WHOLE, "id": "over"})
    script.on("GET /v1/inspections/busy", {**WHOLE, "id": "busy", "state": "running"})
    script.on("DELETE /v1/inspections/busy", refusing(409, "conflict", "It is running."))
    with pytest.raises(ConflictError, match=r"It is running\."):
        client.remove(["over", "busy"])
    assert "DELETE /v1/inspections/over" not in script.asked


def test_names_of_one_inspection_remove_it_once(client: Client, script: Any) -> None:
    for name in ("abc123", "matmul"):
        script.on(f"GET /v1/inspections/{name}", WHOLE)
    script.on("DELETE /v1/inspections/abc123", httpx2.Response(204))
    assert client.remove(["abc123", "matmul"]) == 1


@pytest.mark.parametrize("reference", ["", "..", "a/b", "a?b", "a b", "\n", "x" * 101])
def test_what_no_inspection_is_called_is_not_asked_for(client: Client, script: Any, reference: str) -> None:
    with pytest.raises(NotFoundError, match="There is no inspection"):
        client.get(reference)
    assert script.asked == []


@pytest.mark.parametrize("answer", [[], 7, "text", {}, {"items": 3}, {"items": [3]}, {"items": [{"id": 1}]}])
def test_nonsense_is_a_sentence(client: Client, script: Any, answer: Any) -> None:
    script.on("GET /v1/nodes", answer)
    script.on("GET /v1/inspections/abc", answer)
    for call in (client.nodes, lambda: client.get("abc")):
        with pytest.raises(
            ServerError, match=r"https://djed\.example answered something that cannot be read"
        ):
            call()


def test_an_output_is_a_file_to_be_read(client: Client, script: Any) -> None:
    script.on("GET /v1/inspections/abc/outputs/run:0/sub/plot.png", httpx2.Response(200, content=b"png"))
    with client.output("abc", "run:0", "sub/plot.png") as file:
        assert file.read() == b"png"
    with pytest.raises(NotFoundError), client.output("abc", "run:0", "../../etc/passwd"):
        pass


def test_an_artifact_that_was_removed_is_none(client: Client) -> None:
    assert client.artifact(DIGEST) is None


def test_what_is_told_only_once_is_handed_on(client: Client, script: Any) -> None:
    script.on("POST /v1/webhooks", {"id": "w", "url": "https://hook.example", "secret": "whsec_x"})
    webhook, secret = client.add_webhook("https://hook.example", ["done"])
    assert (webhook.id, secret) == ("w", "whsec_x")
    token = {"id": "t", "name": "n", "namespace": "default", "scope": "read", "created_at": 1.0}
    script.on("POST /v1/tokens", {**token, "text": "djed_t_s"})
    assert client.create_token("n", scope="read", ttl=60.0)[1] == "djed_t_s"
    assert script.bodies == [
        {"url": "https://hook.example", "events": ["done"]},
        {"name": "n", "namespace": "default", "scope": "read", "ttl": 60.0},
    ]


def test_a_namespace_is_sent_without_what_the_server_knows_itself(client: Client, script: Any) -> None:
    script.on("PUT /v1/namespaces/team", {"name": "team", "weight": 2.0})
    client.set_namespace(Namespace(name="team", weight=2.0, quota=Quota(cpu=4.0), created_at=7.0))
    assert script.bodies == [{"name": "team", "weight": 2.0, "quota": {"cpu": 4.0}}]


def test_a_preview_waits_no_longer_than_servers_do(client: Client, script: Any) -> None:
    script.on(f"HEAD {FILE}", httpx2.Response(204))
    script.on("POST /v1/plan", {"fits": True})
    assert client.preview(SUBMISSION, wait=600).fits
    assert script.asked[-1] == "POST /v1/plan?wait=60.0"


def test_the_noise_floor_is_measured_elsewhere(client: Client) -> None:
    with pytest.raises(RequestError, match="where the work is done"):
        client.noise()


def test_a_client_needs_a_server() -> None:
    with pytest.raises(ConfigError):
        Client.open(load({}, environ={}))
    with Client.open(load({"server": "https://djed.example/"}, environ={})) as client:
        assert client.url == "https://djed.example"


def test_a_page_is_a_page(client: Client, script: Any) -> None:
    script.on("GET /v1/inspections", {"items": [], "next": None})
    assert client.page() == Page(items=())
