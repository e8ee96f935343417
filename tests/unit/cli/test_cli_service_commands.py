"""Plans, the queue, secrets and webhooks; and what changes where a server is set."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from djed.cli.console import Console
from djed.cli.context import Context
from djed.cli.render.preview import preview_lines, queue_lines
from djed.cli.render.text import plain
from djed.config import load
from djed.errors import NotFoundError, ServerError, TokenError
from djed.model.job import At, Job
from djed.model.lock import Lock, LockedPackage
from djed.model.observation import Failure
from djed.model.preview import Preview, QueuePlace
from djed.model.principal import Principal
from djed.model.webhook import Delivery, Webhook

Djed = Callable[..., Any]

FITS = Preview(
    fits=True,
    build_node="local/here",
    run_node="local/here",
    python="3.11.7",
    considered=(
        {
            "for": "run",
            "node": "local/here",
            "lines": [{"path": "run.hardware.arch", "asked": "x86_64", "has": "x86_64", "ok": True}],
        },
    ),
    lock=Lock(python="3.11.7", packages=(LockedPackage(name="numpy", version="2.1.3"),)),
    jobs=(Job(kind="run", command=(At(place="python"), "m.py", "1", "2", "3"), node="local/here"),),
    cached=("lock", "build"),
    recipe="FROM scratch\n",
    queue=QueuePlace(state="queued", position=2, running=1),
)
UNFIT = Preview(
    fits=False,
    reason="No node has what run.hardware asks for",
    failure=Failure(stage="plan", kind="refused", message="No node"),
)
HOOK = Webhook(id="w1", url="https://hook.example/", events=("done",))


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "m.sh"
    path.write_text("#!/bin/sh\n")
    return str(path)


def text(lines: Any) -> str:
    return "\n".join("".join(plain(part) for part in line) for line in lines)


def test_a_plan_says_where_how_and_when() -> None:
    shown = text(preview_lines("m", FITS, width=None))
    assert shown.startswith("m fits\n")
    for words in (
        "node      local/here",
        "python    3.11.7",
        "cached    lock, build",
        "turn      behind 2 inspections, 1 job at work on its node",
        "run.hardware.arch",
        "numpy    2.1.3",
        "{python} m.py 1 2 …",
    ):
        assert words in shown, shown


def test_what_builds_and_runs_elsewhere_says_both() -> None:
    shown = text(preview_lines("m", replace(FITS, run_node="local/there"), width=None))
    assert "builds on local/here" in shown
    assert "runs on   local/there" in shown


def test_what_is_not_resolved_yet_says_so() -> None:
    shown = text(preview_lines("m", replace(FITS, lock=None), width=None))
    assert "stack     not resolved yet" in shown


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (FITS, 0, "m.sh fits"),
        (UNFIT, 5, "m.sh fits nowhere\nerror: No node  [refused]"),
        (replace(UNFIT, failure=None), 5, "m.sh fits nowhere: No node has what run.hardware asks for"),
        (
            replace(
                FITS,
                fits=False,
                failure=Failure(
                    stage="lock", kind="no_such_package", message="There is no nump", hint="numpy?"
                ),
            ),
            1,
            "m.sh cannot be built\n",
        ),
    ],
)
def test_a_plan_exits_as_the_inspection_would(
    djed: Djed, engine: Any, script: str, found: Preview, code: int, words: str
) -> None:
    engine.preview = lambda submission, *, wait: found
    result = djed("plan", script, "--name", "m.sh")
    assert (result.code, result.err) == (code, "")
    assert words in result.out
    assert json.loads(djed("plan", script, "--json").out)["fits"] is found.fits


def test_a_plan_can_be_a_recipe_and_waits_as_long_as_told(djed: Djed, engine: Any, script: str) -> None:
    waited: list[float] = []

    def preview(submission: object, *, wait: float) -> Preview:
        waited.append(wait)
        return FITS

    engine.preview = preview
    assert djed("plan", script, "--recipe", "--wait", "2m").out == "FROM scratch\n"
    assert waited == [120.0]
    assert djed("plan", script, "--wait", "soon").code == 2


def test_the_queue_tells_turn_reason_and_start() -> None:
    place = QueuePlace(
        state="queued",
        position=1,
        waits_for="The quota of running jobs is full.",
        expected_start=time.time() + 90.4,
    )
    assert text(queue_lines("m", place)).splitlines() == [
        "m queued",
        "  turn      behind 1 inspection",
        "  waits for The quota of running jobs is full.",
        "  starts    in about 1m 30s",
    ]
    assert text(queue_lines("m", QueuePlace(state="done"))) == "m done"


def test_queue_is_a_command(djed: Djed, engine: Any) -> None:
    engine.queue = lambda reference: QueuePlace(state="queued", position=3)
    assert "behind 3 inspections" in djed("queue", "matmul").out
    found = json.loads(djed("queue", "matmul", "--json").out)
    assert found == {"id": "3f2a9c1b7d", "state": "queued", "position": 3, "running": 0}


@pytest.mark.parametrize(
    ("given", "kept"),
    [(b"hush\n", b"hush"), (b"hush\r\n", b"hush"), (b"a\n\n", b"a\n"), (b"\x00\xff", b"\x00\xff")],
)
def test_a_secret_is_what_stands_on_standard_input(
    djed: Djed, engine: Any, monkeypatch: pytest.MonkeyPatch, given: bytes, kept: bytes
) -> None:
    values: dict[str, bytes] = {}
    engine.set_secret = values.__setitem__
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    result = djed("secret", "set", "key")
    assert (result.code, values) == (0, {"key": kept})
    assert "hush" not in result.out + result.err


def test_a_secret_from_a_file_is_taken_byte_by_byte(djed: Djed, engine: Any, tmp_path: Path) -> None:
    values: dict[str, bytes] = {}
    engine.set_secret = values.__setitem__
    (tmp_path / "key.pem").write_bytes(b"pem\n")
    djed("secret", "set", "key", "--file", str(tmp_path / "key.pem"))
    assert values == {"key": b"pem\n"}
    assert djed("secret", "set", "key", "--file", str(tmp_path / "none")).code == 2
    (tmp_path / "large").write_bytes(b"x" * (64 * 1024 + 1))
    assert "at most 64 KiB" in djed("secret", "set", "key", "--file", str(tmp_path / "large")).err
    (tmp_path / "empty").write_bytes(b"")
    assert "empty" in djed("secret", "set", "key", "--file", str(tmp_path / "empty")).err


def test_a_secret_is_no_argument(djed: Djed, engine: Any) -> None:
    assert djed("secret", "set", "key", "value").code == 2


def test_secrets_are_listed_and_forgotten(djed: Djed, engine: Any) -> None:
    removed: list[str] = []
    engine.secrets, engine.remove_secret = lambda: ("a", "b"), removed.append
    assert djed("secret", "list").out == "a\nb\n"
    assert json.loads(djed("secret", "list", "--json").out) == ["a", "b"]
    djed("secret", "rm", "a")
    assert removed == ["a"]
    engine.secrets = tuple
    assert djed("secret", "list").err == "No secrets.\n"


def test_a_webhook_s_secret_is_the_data(djed: Djed, engine: Any) -> None:
    asked: list[Any] = []

    def add(url: str, events: Any) -> tuple[Webhook, str]:
        asked.append((url, events))
        return HOOK, "whsec_x"

    engine.add_webhook = add
    assert djed("webhook", "add", HOOK.url, "--event", "done").out == "whsec_x\n"
    assert json.loads(djed("webhook", "add", HOOK.url, "--json").out)["secret"] == "whsec_x"
    assert asked == [(HOOK.url, ["done"]), (HOOK.url, ())]


def test_webhooks_say_how_they_are_doing(djed: Djed, engine: Any) -> None:
    engine.webhooks = lambda: [
        HOOK,
        replace(HOOK, id="w2", events=(), failures=3, last_error="refused"),
        replace(HOOK, id="w3", active=False),
    ]
    lines = djed("webhook", "list").out.splitlines()
    assert [line.split(maxsplit=3)[0] for line in lines[1:]] == ["w1", "w2", "w3"]
    assert [line.rsplit("  ", 1)[1] for line in lines[1:]] == [
        "active",
        "failed 3\u00d7: refused",
        "inactive",
    ]
    assert [item["active"] for item in json.loads(djed("webhook", "list", "--json").out)] == [
        True,
        True,
        False,
    ]
    engine.webhooks = list
    assert djed("webhook", "list").err == "No webhooks.\n"


def test_deliveries_tell_what_became_of_each(djed: Djed, engine: Any) -> None:
    one = Delivery(
        webhook="w1",
        position="0.1",
        inspection="abc",
        kind="done",
        state="given_up",
        attempts=9,
        error="refused",
    )
    engine.deliveries = lambda webhook, *, limit: [one][:limit]
    assert "given up" in djed("webhook", "deliveries", "w1").out
    assert json.loads(djed("webhook", "deliveries", "w1", "--json").out)[0]["attempts"] == 9


def test_a_webhook_is_removed(djed: Djed, engine: Any) -> None:
    def remove(id_: str) -> None:
        raise NotFoundError(f"There is no webhook {id_!r}.")

    engine.remove_webhook = remove
    assert djed("webhook", "rm", "w9").code == 3


# Where a server is set


def test_the_engine_is_the_server_s_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("djed.cli.context.open_engine", lambda config: "here")
    monkeypatch.setattr("djed.cli.context.open_client", lambda config: "there")
    settings = [{}, {"server": "https://djed.example"}]
    found = [Context(config=load(values, environ={}), console=Console()).engine() for values in settings]
    assert [str(item) for item in found] == ["here", "there"]


class FakeClient:
    """A server of which only the health is known."""

    url = "https://djed.example"

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = troubles

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def _fail(self, kind: type[Exception]) -> None:
        for trouble in self.troubles:
            if isinstance(trouble, kind):
                raise trouble

    def version(self) -> str:
        self._fail(ServerError)
        return "1.2.3"

    def whoami(self) -> Principal:
        self._fail(TokenError)
        return Principal(name="ci", namespace="team", scope="submit")

    def nodes(self) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("troubles", "expected"),
    [
        ([], [("server", True), ("token", True), ("nodes", False)]),
        ([TokenError("This token has expired.")], [("server", True), ("token", False)]),
        ([ServerError("It cannot be reached.")], [("server", False)]),
    ],
)
def test_doctor_looks_at_the_server_instead(
    djed: Djed, monkeypatch: pytest.MonkeyPatch, troubles: list[Exception], expected: list[tuple[str, bool]]
) -> None:
    monkeypatch.setattr("djed.cli.commands.doctor.open_client", lambda config: FakeClient(*troubles))
    parts = json.loads(djed("doctor", "--json", "--set", "server=https://djed.example").out)
    assert [(part["name"], part["present"]) for part in parts] == expected


def test_doctor_says_what_the_token_is_good_for(djed: Djed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("djed.cli.commands.doctor.open_client", lambda config: FakeClient())
    out = djed("doctor", "--set", "server=https://djed.example").out
    assert "1.2.3" in out
    assert "It is good for submit in the namespace team." in out


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("token", "djed_ab12cd34ef567890_secret", "djed_ab12\u2026"),
        ("store", "postgresql://me:hush@db.example/djed", "postgresql://me:\u2026@db.example/djed"),
        ("store", "postgresql://db.example/djed?user=me&password=hush&x=y", "postgresql://db.example/djed?user=me&password=\u2026&x=y"),
        ("store", "postgresql://me:hu@h/sh@db.example/djed", "postgresql://me:\u2026@db.example/djed"),
        ("store", "postgresql://me@db.example/djed", "postgresql://me@db.example/djed"),
    ],
)  # fmt: skip
def test_config_hides_what_is_secret(djed: Djed, name: str, value: str, shown: str) -> None:
    rows = json.loads(djed("config", "--set", f"{name}={value}", "--json").out)
    assert next(row["value"] for row in rows if row["name"] == name) == shown
    out = djed("config", "--set", f"{name}={value}").out
    assert "hush" not in out
    assert "secret" not in out.replace("secrets", "")
