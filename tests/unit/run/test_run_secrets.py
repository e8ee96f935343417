"""What the shim is told of secrets, and how the values reach it."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from djed.model.job import Attempt, Job
from djed.run import secrets
from djed.run.order import Site, order
from djed.run.sandbox import Sandbox
from djed.toolbox.process import spawn_detached

BWRAP = Sandbox(level="bwrap", tool="bubblewrap 0.8.0", path="/usr/bin/bwrap")
OLD = Sandbox(level="bwrap", tool="bubblewrap 0.4.1", path="/usr/bin/bwrap")
PLAIN = Sandbox(level="none")
JOB = Job(kind="run", command=("x",), secrets=("b", "a"), namespace="team")


class Vault:
    def blob(self, digest: str) -> Path:
        raise NotImplementedError

    def artifact(self, digest: str) -> Path:
        raise NotImplementedError

    def secret(self, namespace: str, name: str) -> bytes:
        return f"{namespace}/{name}".encode()


def _order(job: Job, sandbox: Sandbox) -> dict[str, object]:
    site = Site(
        data=Path("/data"), packages=Path("/data/packages"), etc=Path("/data/etc"), node="n", environ={}
    )
    attempt = Attempt(name="djed-j-1", job_id="j", number=1, job=job, node="n")
    return order(attempt, Path("/data/attempts/djed-j-1"), sandbox, site=site, materials=Vault())


def test_the_order_names_them_and_holds_no_value() -> None:
    told = _order(JOB, BWRAP)
    assert told["secrets"] == {
        "names": ["a", "b"],
        "folder": "/djed/secrets",
        "options": ["--perms", "0400"],
    }
    assert told["environ"]["DJED_SECRETS"] == "/djed/secrets"  # type: ignore[index]
    assert "team/a" not in json.dumps(told)


def test_a_job_without_any_hears_nothing_of_them() -> None:
    told = _order(Job(kind="run", command=("x",)), BWRAP)
    assert told["secrets"] is None
    assert "DJED_SECRETS" not in json.dumps(told)


def test_an_old_bubblewrap_is_not_asked_for_a_mode() -> None:
    plan = secrets.plan("djed-j-1", JOB, Path("/data"), OLD)
    assert plan is not None
    assert plan["options"] == []


@pytest.mark.parametrize(
    ("mounts", "place"),
    [
        ("30 25 0:27 / /dev/shm rw,nosuid - tmpfs tmpfs rw\n", "/dev/shm/djed-j-1."),
        ("30 25 0:27 / /dev/shm rw shared:3 - tmpfs shm rw\n", "/dev/shm/djed-j-1."),
        ("30 25 8:1 / /dev/shm rw - ext4 /dev/sda rw\n", "/jobs/djed-j-1/secrets"),
        ("30 25 0:27 / /dev rw - tmpfs tmpfs rw\n", "/jobs/djed-j-1/secrets"),
    ],
)
def test_without_a_sandbox_they_lie_in_memory_where_there_is_such_a_place(
    mounts: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(mounts)
    monkeypatch.setattr(secrets, "_MOUNTS", tmp_path / "mountinfo")
    plans = [secrets.plan("djed-j-1", JOB, Path("/jobs/djed-j-1"), PLAIN) for _ in range(2)]
    folders = [plan["folder"] for plan in plans if plan is not None]
    assert [folder.startswith(place) for folder in folders] == [True, True]
    assert (folders[0] == folders[1]) is place.endswith("secrets")


def test_values_are_passed_through_a_file_without_a_name() -> None:
    with secrets.passed(secrets.given(JOB, Vault())) as descriptor:
        assert descriptor is not None
        assert not os.get_inheritable(descriptor)
        assert os.fstat(descriptor).st_nlink == 0
        told = json.loads(os.read(descriptor, 4096))
    assert {name: base64.b64decode(value) for name, value in told.items()} == {"a": b"team/a", "b": b"team/b"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_without_values_there_is_nothing_to_pass() -> None:
    with secrets.passed({}) as descriptor:
        assert descriptor is None


def test_a_detached_program_reads_what_it_was_passed(tmp_path: Path) -> None:
    with secrets.passed({"a": b"value"}) as stdin:
        pid = spawn_detached(["/bin/cat"], env={}, log=tmp_path / "log", stdin=stdin)
    os.waitpid(pid, 0)
    assert json.loads((tmp_path / "log").read_bytes()) == {"a": base64.b64encode(b"value").decode()}


def test_what_a_shim_left_in_memory_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_MEMORY", tmp_path)
    mine, others = tmp_path / "djed-j-1.ab", tmp_path / "djed-j-2.ab"
    for folder in (mine, others):
        folder.mkdir()
        (folder / "token").write_bytes(b"value")
    secrets.take_away("djed-j-1", {"secrets": {"folder": str(mine)}})
    secrets.take_away("djed-j-1", {"secrets": {"folder": str(mine)}})
    assert not mine.exists()
    assert others.exists()


@pytest.mark.parametrize(
    "folder", ["djed-j-2.ab", "djed-j-1", "../elsewhere", "djed-j-1.ab/../../elsewhere", "."]
)
def test_nothing_else_is_taken_away_whatever_an_order_says(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "shm"
    for name in ("shm/djed-j-2.ab", "shm/djed-j-1", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(secrets, "_MEMORY", memory)
    secrets.take_away("djed-j-1", {"secrets": {"folder": f"{memory}/{folder}"}})
    secrets.take_away("djed-j-1", {"secrets": None})
    secrets.take_away("djed-j-1", {})
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "djed-j-1",
        "djed-j-2.ab",
        "elsewhere",
        "shm",
    ]
