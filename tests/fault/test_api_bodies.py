"""Bodies that are too large, too deep, of a wrong type or no text at all: a problem with a sentence, and no memory is lost to them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Served, server

MIB = 2**20
SMALL = 300
"""MiB that a server may have had at most; the bodies are of 100."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with server(tmp_path_factory.mktemp("served") / "data", "--no-work") as made:
        yield made
        assert "Traceback" not in (made.data.parent / "data.log").read_text()


def peak(served: Served) -> float:
    """MiB of memory that the server had at most."""
    text = Path(f"/proc/{served.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) / 1024


def refused(
    served: Served, content: object, status: int, kind: str = "application/json", **headers: str
) -> str:
    """What is wrong with a body, in a sentence."""
    sent = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = served.call("POST", "/v1/inspections", content=content, headers=sent)
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["detail"].endswith("."), told
    assert len(answer.content) < 20_000
    return str(told["detail"])


def test_a_hundred_megabytes_are_refused_before_they_are_read(served: Served) -> None:
    refused(served, b"x" * 100 * MIB, 413)
    assert peak(served) < SMALL


def test_a_hundred_megabytes_of_which_nothing_was_said_are_refused_when_they_are_too_many(
    served: Served,
) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * MIB

    refused(served, parts(), 413)
    assert peak(served) < SMALL


def test_a_length_that_is_not_true_is_not_relied_upon(served: Served) -> None:
    assert served.call("PUT", f"/v1/files/sha256:{'0' * 64}", content=b"other").status_code in {400, 409, 422}


def test_a_request_file_is_small(served: Served) -> None:
    refused(served, b"# " + b"x" * 2 * MIB, 413, "application/yaml")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("application/json", "[" * 100_000),
        ("application/json", '{"a":' * 100_000 + "1" + "}" * 100_000),
        ("application/json", '{"a":' * 80 + "1" + "}" * 80),
        ("application/json", '{"run": {}, "run": {}}'),
        ("application/json", '{"a": NaN}'),
        ("application/json", '{"a": ' + "9" * 100_000 + "}"),
        ("application/json", '{"a": 1e999}'),
        ("application/json", '{"a": "\\ud800"}'),
        ("application/json", '{"a": 1'),
        ("application/json", ""),
        ("application/json", "   "),
        ("application/json", "null"),
        ("application/json", "[]"),
        ("application/json", '"text"'),
        ("application/yaml", "a: " + "[" * 10_000),
        ("application/yaml", "a: &a [x]\nb: *a\n"),
        ("application/yaml", "a: !!python/object/apply:os.system [id]\n"),
        ("application/yaml", "a: 1\na: 2\n"),
        ("application/yaml", "--- {}\n--- {}\n"),
        ("application/toml", "a = " + "[" * 10_000),
        ("application/toml", "a = 1\na = 2\n"),
        ("application/toml", "a." * 5000 + "b = 1\n"),
    ],
    ids=lambda item: item[:24],
)
def test_what_cannot_be_read_is_told_so(served: Served, kind: str, text: str) -> None:
    refused(served, text.encode(), 400, kind)


@pytest.mark.parametrize(
    "content",
    [
        b'{"name": "\xff"}',
        b'{"name": "\xc3\x28"}',
        b'{"name": "\xed\xa0\x80"}',
        '{"name": "x"}'.encode("utf-16"),
        '{"name": "x"}'.encode("utf-32"),
        b'{"name": "a\0b"}',
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        bytes(range(256)) * 100,
    ],
)
def test_what_is_no_utf8_is_refused(served: Served, content: bytes) -> None:
    refused(served, content, 400)


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/html",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonx",
        "json",
        "",
        "application/json; charset=utf-16",
        "a" * 10_000,
    ],
    ids=lambda kind: kind[:30],
)
def test_other_types_of_bodies_are_refused(served: Served, kind: str) -> None:
    refused(served, b"{}", 415, kind)


def test_a_compressed_body_is_refused(served: Served) -> None:
    refused(served, b"{}", 415, Content_Encoding="gzip")


def test_a_request_that_is_wrong_in_many_places_is_told_every_place(served: Served) -> None:
    body = {"nmae": 1, "run": {"repeat": "x", "command": 5}, "environment": {"packages": [1, {}]}}
    answer = served.call("POST", "/v1/inspections", json=body)
    assert answer.status_code == 422
    paths = {fault["path"] for fault in answer.json()["faults"]}
    assert {"nmae", "run.repeat", "environment.packages[0]"} <= paths


def test_values_that_play_tricks_are_values(served: Served) -> None:
    """Line ends and markup in a name come back as they were, or are refused; no header and no log line comes of them."""
    for value in (
        "a\r\nX-Evil: 1",
        "<script>alert(1)</script>",
        "../../etc",
        "\u202e",
        "'; DROP TABLE inspections; --",
    ):
        body = {"name": value, "run": {"script": {"path": "a.sh", "content": "exit 0\n"}}}
        answer = served.call("POST", "/v1/inspections", json=body)
        assert answer.status_code == 422, value
        assert "x-evil" not in answer.headers
    labels = {"labels": {"a\r\nb": "c\r\nd"}, "run": {"script": {"path": "a.sh", "content": "exit 0\n"}}}
    assert served.call("POST", "/v1/inspections", content=json.dumps(labels)).status_code in {201, 422}
    log = (served.data.parent / "data.log").read_text()
    assert "X-Evil" not in log
