"""``djed extract`` and ``djed diff`` as a user types them."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from djed.cli.main import main
from tests.support import roots
from tests.support.cli import begin, djed

LOG = Path(__file__).parent.parent / "unit/observe/recorded_logs/uv.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return roots.root(tmp_path / "root")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints that succeeds; in this process, so that many of them take no time."""

    def run(*arguments: str | Path, code: int = 0) -> str:
        found = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert found == code, err
        return out if code == 0 else err

    return run


def names(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    return [item["name"] for item in found["native"]], [item["name"] for item in found["python"]]


def test_summary_and_packages_for_people(root: Path) -> None:
    out = djed("extract", str(root))
    assert "Debian 12" in out
    assert "2 deb" in out
    assert [line.split()[:2] for line in out.splitlines() if "bash" in line] == [["bash", "5.2-1"]]
    assert "/usr/lib/python3/dist-packages" in out


def test_whatever_it_is_packed_in(root: Path, said: Any) -> None:
    layout = roots.layout(root)
    targets = [
        *(root, f"rootfs:{root}", roots.tar_of(root), roots.tar_of(root, gzip=True)),
        *(layout, f"oci:{layout}", roots.oci_file(layout), f"oci-archive:{roots.oci_file(layout)}"),
        *(roots.docker_file(layout), f"docker-archive:{roots.docker_file(layout)}"),
    ]
    found = {str(target): json.loads(said("extract", "--json", target)) for target in targets}
    for target, one in found.items():
        assert names(one) == (["bash", "libc6"], ["six"]), target
        assert one["edges"] == [["deb/bash", "deb/libc6"]]
        assert one["target"] == target
    images = [one for one in found.values() if one["kind"] == "image"]
    assert len(images) == 6
    assert len({one["digest"] for one in images[:4]}) == 1
    assert images[0]["layers"][0]["created_by"] == "a root file system"
    assert "PATH" in images[0]["config"]["variables"]
    assert [one["kind"] for one in found.values() if one["kind"] != "image"] == ["root"] * 4


def test_virtual_environment_and_its_archive(tmp_path: Path, said: Any) -> None:
    venv = roots.venv(tmp_path / "unpacked" / "env", six="1.17.0", idna="3.20")
    assert json.loads(said("extract", "--json", venv))["kind"] == "venv"
    packed = json.loads(said("extract", "--json", roots.tar_of(venv.parent, gzip=True)))
    assert (packed["kind"], names(packed)) == ("archive", ([], ["idna", "six"]))


def test_second_time_nothing_is_unpacked(
    root: Path, said: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = roots.layout(root)
    archive = roots.oci_file(layout)
    first = [said("extract", "--json", target) for target in (layout, archive)]
    kept = sorted(path.name for path in (data / "contents").iterdir())
    monkeypatch.setattr("djed.service.extract.ground.Ground.room", None)  # who unpacks now fails
    assert [said("extract", "--json", target) for target in (layout, archive)] == first
    assert sorted(path.name for path in (data / "contents").iterdir()) == kept
    assert not [name for name in kept if name.startswith(".")]


def test_file_that_was_written_anew_is_looked_into_anew(tmp_path: Path, said: Any) -> None:
    roots.tar_of(roots.root(tmp_path / "root"))
    before = json.loads(said("extract", "--json", tmp_path / "root.tar"))
    changed = roots.tar_of(roots.root(tmp_path / "other", bash="5.3-1"))
    changed.replace(tmp_path / "root.tar")
    after = json.loads(said("extract", "--json", tmp_path / "root.tar"))
    assert [one["native"][0]["version"] for one in (before, after)] == ["5.2-1", "5.3-1"]
    assert before["digest"] != after["digest"]


def test_documents_go_to_a_file_the_same_each_time(root: Path, tmp_path: Path, said: Any) -> None:
    layout = roots.layout(root)
    for form, key in (("cyclonedx", "components"), ("spdx", "packages"), ("json", "native")):
        files = [tmp_path / f"{form}-{number}" for number in (1, 2)]
        for file in files:
            said("extract", layout, "--format", form, "--output", file, "--name", "app:1")
        assert files[0].read_bytes() == files[1].read_bytes()
        assert json.loads(files[0].read_text())[key]
        assert "app:1" in files[0].read_text()
    said("extract", layout, "--output", tmp_path / "text")
    assert "2 native packages" in (tmp_path / "text").read_text()


def test_log_from_a_file_and_from_stdin(said: Any) -> None:
    found = json.loads(said("extract", "--log", LOG, "--json"))
    assert (found["kind"], len(found["python"])) == ("log", 7)
    assert djed("extract", "--log", "-", "--json", given=LOG.read_text()) == said(
        "extract", "--log", LOG, "--json", "--name", "stdin"
    )
    assert "pkg:pypi/requests@2.34.2" in said("extract", "--log", LOG, "--format", "cyclonedx")


def test_diff_of_two_images(tmp_path: Path, said: Any) -> None:
    a = roots.layout(roots.root(tmp_path / "a"))
    b = roots.layout(roots.root(tmp_path / "b", bash="5.3-1", six=None, version="13"))
    found = json.loads(said("diff", f"oci:{a}", f"oci:{b}", "--json"))
    assert found["native"] == [{"name": "bash", "before": "5.2-1", "after": "5.3-1"}]
    assert found["python"] == [{"name": "six", "before": "1.17.0", "after": None}]
    assert [change["name"] for change in found["system"]] == ["os_name", "os_version"]
    assert (len(found["layers"]), found["shared_layers"]) == (2, 0)
    shown = said("diff", a, b)
    assert "~ bash 5.2-1 → 5.3-1" in shown
    assert "- six 1.17.0" in shown
    assert "Nothing differs." in said("diff", a, f"oci:{a}")


def test_diff_takes_what_lies_here_for_no_inspection(
    tmp_path: Path, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots.root(tmp_path / "before")
    roots.root(tmp_path / "after", bash="5.3-1")
    monkeypatch.chdir(tmp_path)
    assert "bash" in said("diff", "before", "after")
    assert "there is no inspection" in said("diff", "before", "nothing", code=3).lower()


@pytest.mark.needs("uv", "bwrap")
def test_artifact_by_the_beginning_of_its_digest(tmp_path: Path, said: Any) -> None:
    script = tmp_path / "hello.sh"
    script.write_text("#!/bin/sh\necho hello\n")
    made = json.loads(said("inspect", script, "--json"))
    digest = made["artifact"]
    found = json.loads(said("extract", "--json", digest.removeprefix("sha256:")[:16]))
    assert (found["kind"], bool(found["interpreters"])) == ("venv", True)
    assert "is an inspection" in said("diff", "hello", digest, code=2)
    assert "Nothing differs." in said("diff", digest[:20], digest)
    assert "There is no artifact" in said("extract", "sha256:00", code=3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(root: Path, data: Path, number: signal.Signals) -> None:
    with (root / "large").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(2**20))
    tar = roots.tar_of(root)
    process = begin("extract", str(tar))
    contents = data / "contents"
    _until(lambda: any(path.stat().st_size for path in contents.glob(".unpacked-*/*/large")))
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert list(contents.iterdir()) == []


def test_what_a_killed_one_left_goes_with_the_next(root: Path, data: Path, said: Any) -> None:
    left, new = data / "contents/.unpacked-old", data / "contents/.unpacked-new"
    for folder in (left, new):
        (folder / "root/etc").mkdir(parents=True)
    os.utime(left, (1, 1))
    said("extract", roots.tar_of(root))
    assert not left.exists()
    assert new.exists()  # somebody may be about to lock it


def _until(holds: Any) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)
