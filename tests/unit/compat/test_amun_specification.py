"""What is posted to Amun: its defaults, its id, its script, and what is wrong with it."""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djed.compat.amun import specification
from djed.compat.amun.specification import accept, filled, is_id, outline
from djed.config import Config
from djed.errors import RateError, RequestError, UnsafeError
from djed.model.request import HardwareRequirement, Resources
from djed.toolbox.digest import digest_bytes
from djed.toolbox.fetch import StatusError

BASE = {"base": "debian:12"}
ADDRESS = "http://djed.example/api/v1"
DEFAULT = {"requests": {"cpu": "500m", "memory": "256Mi"}}


@pytest.fixture(autouse=True)
def debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is a Debian 12."""
    release = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)


def accepted(config: Config | None = None, **fields: Any) -> specification.Asked:
    return accept({**BASE, **fields}, config=config or Config(), address=ADDRESS)


def wrong(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        accepted(**fields)
    return caught.value


def test_what_is_left_out_has_amuns_defaults_and_they_hold() -> None:
    asked = accepted(script="#!/bin/sh\n")
    assert asked.specification["build"] == asked.specification["run"] == DEFAULT
    assert asked.specification["batch_size"] == 1
    request = asked.submission.request
    assert request.build.resources == Resources(cpu="500m", memory="256Mi")
    assert request.run is not None
    assert request.run.resources == Resources(cpu="500m", memory="256Mi")


def test_what_is_said_stays_beside_the_defaults() -> None:
    hardware = {"cpu_family": 6, "cpu_model": 85, "processor": "Xeon"}
    asked = accepted(
        build={"requests": {"memory": "1Gi", "hardware": hardware}}, run={"requests": {"cpu": "2", "hardware": hardware}},
        script="x", batch_size="3", anything=[1],
    )  # fmt: skip
    assert asked.specification["build"] == {
        "requests": {"cpu": "500m", "memory": "1Gi", "hardware": hardware}
    }
    assert (asked.specification["batch_size"], asked.specification["anything"]) == (3, [1])
    request = asked.submission.request
    assert request.run is not None
    assert request.run.repeat == 3
    wanted = HardwareRequirement(cpu_family=6, cpu_model=85, processor="Xeon")
    assert (request.build.hardware, request.run.hardware) == (wanted, wanted)


def test_the_server_says_what_amun_said_and_keeps_the_whole() -> None:
    asked = accepted()
    told = asked.specification
    assert told["@amun_api_url"] == ADDRESS
    assert told["@amun_service_version"].startswith("0.10.6+djed.")
    assert told["@amun_deployment_name"] == "djed"
    assert datetime.fromisoformat(told["@created"]).tzinfo is None
    assert asked.submission.origin == {"door": "amun", "specification": told}
    assert asked.submission.request.name == asked.id


def test_without_a_script_there_is_nothing_to_run() -> None:
    assert accepted().submission.request.run is None


@pytest.mark.parametrize("identifier", [None, "", "tf-dm-rw", "A" * 60])
def test_an_id_has_amuns_form(identifier: str | None) -> None:
    first, second = accepted(identifier=identifier).id, accepted(identifier=identifier).id
    middle = f"-{identifier}" if identifier else ""
    assert re.fullmatch(rf"inspection{middle}-[0-9]{{12}}-[0-9a-f]{{8}}", first)
    assert first != second
    assert is_id(first)


@pytest.mark.parametrize("identifier", ["a b", "-a", "a-", "a.b", "../a", "A" * 61, "ä", "a\n"])
def test_an_identifier_that_no_id_can_hold_is_refused(identifier: str) -> None:
    assert "1 to 60 letters, digits and hyphens" in wrong(identifier=identifier).message


@pytest.mark.parametrize("name", ["inspection", "matmul", "inspection-x", "0123456789ab"])
def test_other_names_are_no_ids_of_amun(name: str) -> None:
    assert not is_id(name)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("base", {"base": None}),
    ("base", {"base": 1}),
    ("base", {"base": ""}),
    ("base", {"base": "Fedora 30"}),
    ("identifier", {"identifier": 5}),
    ("package_manager", {"package_manager": "conda"}),
    ("update", {"update": "yes"}),
    ("send_messages", {"send_messages": 1}),
    ("parallelism", {"parallelism": "2"}),
    ("batch_size", {"batch_size": 0, "script": "x"}),
    ("build", {"build": []}),
    ("build.other", {"build": {"other": 1}}),
    ("run.requests", {"run": {"requests": "x"}}),
    ("run.requests.cpu", {"run": {"requests": {"cpu": "x"}}, "script": "x"}),
    ("files[0].content", {"files": [{"path": "a"}]}),
    ("environment[0].value", {"environment": [{"name": "A"}]}),
    ("script", {"script": 1}),
    ("packages", {"base": "host", "packages": ["which"]}),
]


@pytest.mark.parametrize(("path", "fields"), BAD)
def test_what_is_wrong_is_told_by_its_path(path: str, fields: dict[str, Any]) -> None:
    assert path in [fault.path for fault in wrong(**fields).faults]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(RequestError) as caught:
        accept({"update": "x", "script": 1}, config=Config(), address=ADDRESS)
    assert {fault.path for fault in caught.value.faults} == {"base", "update", "script"}


def test_what_is_a_request_of_ours_is_none_of_amuns() -> None:
    fields = {"run": {"script": {"path": "a", "content": "x"}}, "environment": {"packages": ["six"]}}
    assert {fault.path for fault in wrong(**fields).faults} >= {"environment", "run.script"}


def test_a_draft_takes_any_image_and_its_native_packages() -> None:
    told, submission = outline({"base": "fedora:30", "packages": ["which"]}, config=Config())
    assert told["build"] == DEFAULT
    environment = submission.request.environment
    assert (environment.base, environment.native) == ("fedora:30", ("which",))


@pytest.mark.parametrize("base", [None, 1, "a b", "a\nRUN evil"])
def test_a_draft_takes_no_other_base(base: Any) -> None:
    with pytest.raises(RequestError, match="base"):
        outline({"base": base}, config=Config())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "base",
        "batch_size",
        "build",
        "run",
        "python",
        "files",
        "environment",
        "script",
        "identifier",
        "requests",
    ]
)


@settings(max_examples=15)
@given(st.dictionaries(keys, json_values))
def test_whatever_is_posted_is_taken_or_refused_with_a_sentence(data: dict[str, Any]) -> None:
    with suppress(RequestError):
        assert accept(data, config=Config(), address=ADDRESS).specification["base"] == data["base"]


@settings(max_examples=15)
@given(json_values)
def test_filling_in_leaves_what_is_wrong_as_it_is(value: Any) -> None:
    found = filled({"build": value, "batch_size": value})
    assert found["build"] == value or isinstance(value, dict | None)


# A script by its address


class Host:
    """What ``fetch`` finds, and how it was called."""

    def __init__(self) -> None:
        self.answer: bytes | Exception = b"#!/bin/sh\necho 1\n"
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, url: str, **options: Any) -> bytes:
        self.calls.append((url, options))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(specification, "fetch", found)
    return found


URL = "https://raw.example/matmul.py"


def test_a_script_is_fetched_by_the_rules_of_the_settings(host: Host) -> None:
    config = Config(fetch_hosts=("raw.example",), fetch_size=10, fetch_timeout=2.0)
    asked = accepted(config, script=f" {URL}\n")
    assert host.calls == [(URL, {"hosts": ("raw.example",), "size": 10, "timeout": 2.0})]
    assert isinstance(host.answer, bytes)
    assert asked.submission.contents == {digest_bytes(host.answer): host.answer}
    assert asked.specification["script"] == f" {URL}\n", "what came in stays as it was"


def test_other_scripts_are_not_fetched(host: Host) -> None:
    accepted(script="#!/bin/sh\n# see https://raw.example\n")
    assert host.calls == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (StatusError("The host answered.", 404), f"Failed to obtain script from {URL} (HTTP status: 404)"),
        (UnsafeError("Not from raw.example.", hint="fetch.hosts"), f"Failed to obtain script from {URL}, which is not allowed: Not"),
        (RequestError("Too slow."), f"Failed to obtain script from {URL}: Too slow."),
        (b"\xff", f"Failed to obtain script from {URL}: it is not UTF-8 text."),
    ],
)  # fmt: skip
def test_what_cannot_be_fetched_is_told_in_amuns_words(
    host: Host, answer: bytes | Exception, message: str
) -> None:
    host.answer = answer
    error = wrong(script=URL)
    assert error.message.startswith(message)
    assert [fault.path for fault in error.faults] == ["script"]
    assert error.hint == getattr(answer, "hint", None)


def test_a_fetched_script_is_checked_like_any_other(host: Host) -> None:
    host.answer = b"https://raw.example/again"
    assert [fault.path for fault in wrong(script=URL).faults] == ["script"]


def test_many_who_wait_for_a_slow_host_do_not_keep_others_waiting(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [specification._FETCHING.acquire(blocking=False) for _ in range(4)]
    try:
        with pytest.raises(RateError):
            accepted(script=URL)
    finally:
        for _ in filter(None, taken):
            specification._FETCHING.release()
    assert accepted(script=URL).specification["script"] == URL
