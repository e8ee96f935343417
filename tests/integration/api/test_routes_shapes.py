"""Answers, parts of files, names of downloads, and bodies that are no requests: without an application."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from djed.api import forms, shapes
from djed.api.downloads import Download, disposition, span
from djed.api.submissions import read_group
from djed.config import load
from djed.errors import RequestError, ToolError
from djed.model.access import Usage
from djed.model.codec import decode
from djed.model.inspection import Event, Inspection
from djed.model.request import Request as Asked
from djed.model.summary import Page
from djed.toolbox import packing
from djed.toolbox.packing import pack

INSPECTION = Inspection(
    id="abc", name="n", state="done", request=Asked(name="n"), created_at=1.5, updated_at=2.5, token=7
)


def test_every_key_is_there_and_gives_the_noun_back() -> None:
    told = json.loads(json.dumps(shapes.shape(INSPECTION)))
    assert (told["final"], told["outcome"], told["statistics"], told["lock"]) == (True, None, [], None)
    assert "token" not in told
    assert decode(Inspection, {**told, "token": 7}) == INSPECTION


def test_an_event_has_its_position() -> None:
    assert shapes.shape(Event(seq=3, inspection="abc", kind="state", xact=2))["position"] == "2.3"


def test_a_list_says_whether_there_is_more() -> None:
    assert shapes.page([Usage()])["next"] is None
    assert shapes.page(Page(items=[Usage(queued=2)], next="x")) == {
        "items": [{"queued": 2, "working": 0, "running": 0, "cpu": 0.0, "storage": 0, "full": []}],
        "next": "x",
    }


def test_the_tag_changes_with_all_that_can_be_seen_to_change() -> None:
    tags = {
        shapes.tag(id_=id_, token=token, updated_at=at, cancel_requested=cancel)
        for id_, token, at, cancel in [
            ("a", 1, 2.0, False),
            ("b", 1, 2.0, False),
            ("a", 2, 2.0, False),
            ("a", 1, 2.000001, False),
            ("a", 1, 2.0, True),
        ]
    }
    assert len(tags) == 5


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("bytes=0-3", (0, 4)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=5-999", (5, 10)),
        (" bytes=9-9 ", (9, 10)),
        ("bytes=3-2", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        (f"bytes=0-{'9' * 30}", None),
    ],
)
def test_one_range_is_served_and_any_other_header_is_not_heeded(
    header: str | None, found: tuple[int, int] | None
) -> None:
    assert span(header, 10) == found


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=0-", 0), ("bytes=-0", 10)])
def test_a_range_outside_is_refused_with_the_size(header: str, size: int) -> None:
    with pytest.raises(HTTPException) as caught:
        span(header, size)
    assert caught.value.status_code == 416
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}


@pytest.mark.parametrize(
    "name",
    [
        'a"\r\nX-Evil: 1',
        "../../etc/passwd",
        "ünï.txt",
        "a;b=c",
        "..",
        "",
        "x" * 5000,
        "\ud800",
        "a\0b",
        "%0d%0a",
    ],
)
def test_no_name_of_a_file_gets_out_of_its_header(name: str) -> None:
    header = disposition(name)
    plain, _, exact = header.removeprefix('attachment; filename="').partition('"')
    assert header.isascii()
    assert header.isprintable()
    assert plain
    assert set(plain) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-")
    assert not plain.startswith(".")
    assert len(header) < 2000
    if exact:
        assert set(exact.removeprefix("; filename*=UTF-8''")).isdisjoint('"; /\\\r\n')


def test_a_name_that_is_not_plain_is_told_exactly_too() -> None:
    header = disposition("größe 1.csv")
    assert unquote(header.partition("UTF-8''")[2]) == "größe 1.csv"
    assert disposition("a.csv") == 'attachment; filename="a.csv"'


def test_a_refused_part_closes_the_file() -> None:
    file = io.BytesIO(b"0123")
    request = Request({"type": "http", "headers": [(b"range", b"bytes=9-")]})
    with pytest.raises(HTTPException):
        Download(request, file, name="a")
    assert file.closed


@pytest.mark.parametrize(
    ("kind", "data", "path"),
    [
        (forms.NewToken, {}, "name"),
        (forms.NewToken, {"name": "a b"}, "name"),
        (forms.NewToken, {"name": "a", "scope": "root"}, "scope"),
        (forms.NewToken, {"name": "a", "ttl": -1}, "ttl"),
        (forms.NewToken, {"name": "a", "ttl": "60"}, "ttl"),
        (forms.NewToken, {"name": "a", "more": 1}, "more"),
        (forms.NewNamespace, {"quota": {"cpu": -1}}, "quota.cpu"),
        (forms.NewNamespace, {"quota": {"cores": 1}}, "quota.cores"),
        (forms.NewNamespace, {"retention": {"count": 1.5}}, "retention.count"),
        (forms.NewNamespace, {"weight": 0}, "weight"),
        (forms.NewWebhook, {"url": "ftp://x.example"}, "url"),
        (forms.NewWebhook, {"url": "http://x.example", "events": "done"}, "events"),
        (forms.CleanUp, {"dry_run": "yes"}, "dry_run"),
        (forms.Group, {"requests": []}, "requests"),
        (forms.Group, {"requests": [1]}, "requests[0]"),
    ],
)
def test_a_form_says_which_field_is_wrong(kind: type, data: dict[str, Any], path: str) -> None:
    with pytest.raises(RequestError) as caught:
        forms.form(kind, data)
    assert caught.value.faults[0].path == path
    assert caught.value.message.startswith(f"{path}: ")


def test_a_form_is_a_noun_with_its_defaults() -> None:
    found = forms.form(forms.NewNamespace, {"quota": {"cpu": 2}, "retention": {"age": 60}})
    assert (found.weight, found.quota.cpu, found.quota.queued, found.retention.age) == (1.0, 2.0, None, 60.0)


def test_the_faults_of_a_group_say_of_which_request() -> None:
    requests: list[dict[str, Any]] = [{"name": "good"}, {"run": {"repeat": "x"}}, {"": 1}]
    with pytest.raises(RequestError) as caught:
        read_group(requests, load({}, environ={}))
    paths = [fault.path for fault in caught.value.faults]
    assert "requests[1].run.repeat" in paths
    assert 'requests[2][""]' in paths
    assert not any(path.startswith("requests[0]") for path in paths)


def test_a_folder_is_packed_the_same_each_time_and_tells_nothing_of_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "secret-place"
    (folder / "bin").mkdir(parents=True)
    (folder / "big").write_bytes(b"x" * (3 * 2**20 + 7))
    (folder / "bin/run").write_text("#!/bin/sh\n")
    (folder / "bin/run").chmod(0o755)
    (folder / "bin/python3").symlink_to("run")
    (folder / "bin/python").symlink_to("/usr/bin/python3")
    (folder / "bin/out").symlink_to("../../elsewhere")
    packed = b"".join(pack(folder, "venv-1"))
    assert packed == b"".join(pack(folder, "venv-1"))
    assert b"secret-place" not in gzip.decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = archive.getmembers()
        names = [member.name for member in members]
        assert names == [
            "venv-1/big",
            "venv-1/bin",
            "venv-1/bin/python3",
            "venv-1/bin/run",
        ]
        assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "")}
        assert archive.getmember("venv-1/bin/run").mode == 0o755
        big = archive.extractfile("venv-1/big")
        assert big is not None
        assert len(big.read()) == 3 * 2**20 + 7


def test_a_file_that_became_shorter_breaks_the_archive_off(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    parts = packing._content(tmp_path / "a", 20)
    with pytest.raises(ToolError, match="shorter"):
        list(parts)


def test_a_download_is_an_attachment_of_no_type() -> None:
    request = Request({"type": "http", "headers": []})
    answer = Download(request, nullcontext(io.BytesIO(b"<script>")), name="a.html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
