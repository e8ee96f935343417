"""Files of a request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from djed.config import Config
from djed.errors import RequestError
from djed.intake import read_file, read_mapping
from djed.intake.faults import WrongValueError
from djed.intake.files import Folder
from djed.model.codec import encode
from djed.model.request import File
from djed.toolbox.digest import digest_bytes


def test_files_are_taken_in_by_digest(config: Config, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "deep/run.sh").chmod(0o700)
    (tmp_path / "data.csv").write_bytes(b"1,2\xff")
    data: dict[str, Any] = {
        "environment": {
            "files": [{"path": "in/data", "source": "./data.csv"}, {"path": "text", "content": "é"}]
        },
        "run": {"script": "deep/run.sh"},
    }
    submission = read_mapping(data, config=config, folder=tmp_path)
    first, second = submission.request.environment.files
    assert first == File(path="in/data", digest=digest_bytes(b"1,2\xff"), size=4)
    assert second == File(path="text", digest=digest_bytes("é".encode()), size=2)
    assert submission.request.run is not None
    assert submission.request.run.script == File(
        path="run.sh", digest=digest_bytes(b"#!/bin/sh\n"), size=10, executable=True
    )
    assert {digest: len(content) for digest, content in submission.contents.items()} == {
        first.digest: 4,
        second.digest: 2,
        digest_bytes(b"#!/bin/sh\n"): 10,
    }


def test_a_submission_reads_back_as_itself(config: Config, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    (tmp_path / "requirements.txt").write_text(f"a[b]==1; os_name > 'a' --hash=sha256:{'0' * 64}\n")
    data = {
        "environment": {"requirements": "requirements.txt", "variables": {"A": "b"}},
        "build": {"resources": {"cpu": 1.5}},
        "run": {"script": "a.py", "hardware": {"any_of": [{"cores": "4+"}]}},
    }
    request = read_mapping(data, config=config, folder=tmp_path).request
    assert read_mapping(encode(request), config=config).request == request


def test_a_submission_can_be_submitted_again_without_its_contents(config: Config) -> None:
    data = {"run": {"script": {"path": "a.py", "digest": "sha256:" + "0" * 64, "size": 3}}}
    submission = read_mapping(data, config=config)
    assert submission.contents == {}
    assert submission.request.run is not None
    assert submission.request.run.script == File(path="a.py", digest="sha256:" + "0" * 64, size=3)


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("x")
    (tmp_path / "link").symlink_to("real")
    assert Folder(tmp_path, budget=9).read("link/a").data == b"x"


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("x")
    (tmp_path / "link").symlink_to("real")
    assert Folder(tmp_path / "link", budget=9).read("a").data == b"x"


def test_what_lies_outside_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("x")
    (inside / "link").symlink_to("../secret")
    (inside / "up").symlink_to("..")
    (inside / "absolute").symlink_to("/etc/passwd")
    for source in ("../secret", "link", "up/secret", "absolute", "/etc/passwd", str(tmp_path / "secret")):
        with pytest.raises(WrongValueError, match="outside the folder"):
            Folder(inside, budget=9).read(source)


def test_a_link_that_is_swapped_in_late_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").symlink_to("../secret")
    monkeypatch.setattr(Path, "resolve", lambda path, strict=False: path)
    with pytest.raises(WrongValueError, match="cannot be read"):
        Folder(tmp_path / "in", budget=9).read("a")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").write_text("")
    for source, message in {
        "pipe": "not a regular file",
        "folder": "is a directory",
        ".": "is a directory",
        "circle": "cannot be read",
        "missing": "does not exist",
        "file/a": "cannot be read",
    }.items():
        with pytest.raises(WrongValueError, match=message):
            Folder(tmp_path, budget=9).read(source)


def test_files_share_one_budget(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    folder = Folder(tmp_path, budget=9)
    folder.read("a")
    with pytest.raises(WrongValueError, match="too large: the files of a request may have 9 B together"):
        folder.read("a")


def test_contents_written_in_the_request_count_too() -> None:
    files = [{"path": str(number), "content": "12345"} for number in range(2)]
    with pytest.raises(RequestError, match="too large together"):
        read_mapping({"environment": {"files": files}}, config=Config(limits_files=9))


def test_a_request_file_may_be_a_link_from_elsewhere(config: Config, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.yaml").write_text("name: b\n")
    (tmp_path / "b.yaml").symlink_to("real/a.yaml")
    assert read_file(tmp_path / "b.yaml", config=config).request.name == "b"
