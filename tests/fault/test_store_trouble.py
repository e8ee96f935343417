"""The disk is full, read-only or holds something else: a clear error or a named class, and nothing is lost."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from djed.config import load
from djed.errors import StoreError, StoreFullError, StoreVersionError
from djed.service import Engine
from djed.store.store import Store
from djed.toolbox.sqlite import sqlite_driver
from tests.support.live import open_engine, outcomes, script, submit, until

MIB = 2**20


@contextmanager
def small_disk(place: Path, size: int = 8 * MIB) -> Iterator[Path]:
    """A file system of its own; gone when left."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "djed-test", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def disk(data: Path) -> Iterator[Path]:
    with small_disk(data) as place:
        yield place


def fill(place: Path) -> Path:
    """Take every byte that is left."""
    ballast = place / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for chunk in (MIB, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * chunk)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return ballast


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


def turn_read_only(engine: Engine) -> None:
    """What a disk with errors does, which no mount option does to files that are open for writing."""
    write = engine.store.database.write

    @contextmanager
    def refused() -> Iterator[sa.Connection]:
        with write() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
            yield connection

    engine.store.database.write = refused  # type: ignore[method-assign]


def gated(folder: Path, after: str = "echo after") -> str:
    return f"echo x >> {folder}/started; while ! test -e {folder}/go; do sleep 0.01; done; {after}\n"


@pytest.mark.needs("root", "uv")
def test_a_request_that_finds_no_space_is_refused_and_nothing_of_it_is_kept(disk: Path) -> None:
    with open_engine(disk) as engine:
        (kept,) = submit(engine, script("exit 0 # kept\n"))
        ballast = fill(disk)
        with pytest.raises(StoreFullError) as caught:
            submit(engine, script("exit 0 # refused\n" + "#" * 100_000))
        assert "no space" in caught.value.message
        assert caught.value.hint
        ballast.unlink()
        assert [item.id for item in engine.page().items] == [kept]
        assert list((disk / "blobs").glob("draft-*")) == []
        assert engine.store.database.integrity() == "ok"


@pytest.mark.needs("root")
def test_a_full_disk_can_still_be_cleaned_up(disk: Path) -> None:
    with open_engine(disk) as engine:
        digest = engine.store.blobs.put(b"x" * 100_000)
        old = time.time() - 86400
        os.utime(engine.store.blobs.path(digest), (old, old))
    fill(disk)
    with open_engine(disk) as engine:
        assert engine.gc().blobs == 1
        assert engine.store.database.integrity() == "ok"


@pytest.mark.needs("root", "uv")
def test_what_ends_on_a_full_disk_is_kept_once_there_is_space(disk: Path, tmp_path: Path) -> None:
    with open_engine(disk) as engine:
        many = (
            "i=0; while test $i -lt 3000; do echo 'a line of a log that needs some space'; i=$((i + 1)); done"
        )
        (id_,) = submit(engine, script(gated(tmp_path, many)))
        with engine.working():
            until((tmp_path / "started").exists)
            with (disk / "ballast").open("wb") as file:  # room for the log, but not for its copy and the row
                file.truncate(0)
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                file.write(b"\0" * (free - 160_000))
            (tmp_path / "go").touch()
            attempt = next(item.attempt for item in engine.jobs(id_) if item.role == "run:0")
            assert attempt is not None
            until((disk / "attempts" / attempt / "result.json").exists)
            fill(disk)
            assert engine.get(id_).state == "running"
            (disk / "ballast").unlink()
            until(lambda: engine.get(id_).state == "done")
        assert outcomes([engine.get(id_)]) == ["succeeded"]
        (record,) = (item for item in engine.jobs(id_) if item.role == "run:0")
        assert engine.log(record.id).count(b"\n") == 3000
        assert (tmp_path / "started").read_text() == "x\n"
        assert engine.store.database.integrity() == "ok"


@pytest.mark.needs("root", "uv")
def test_inspections_on_a_disk_that_fills_up_all_end_once_there_is_space(disk: Path) -> None:
    with open_engine(disk) as engine:
        ids = submit(engine, *(script(f"echo {i}\n", repeat=2) for i in range(4)))
        with engine.working():
            until(lambda: any(item.state == "running" for item in map(engine.get, ids)))
            ballast = fill(disk)
            (seen,) = [engine.store.database.integrity()]
            assert seen == "ok"
            ballast.unlink()
            for _ in engine.follow(ids):
                pass
        for item in map(engine.get, ids):
            assert item.outcome == "succeeded" or (item.failure and item.failure.kind == "disk_full"), item
        again = [engine.retry(item.id).id for item in map(engine.get, ids) if item.outcome != "succeeded"]
        assert set(outcomes(engine.wait(again))) <= {"succeeded"}
        assert engine.store.database.integrity() == "ok"


@pytest.mark.needs("root", "uv")
def test_a_job_for_which_there_is_no_space_ends_in_the_class_disk_full(disk: Path) -> None:
    with open_engine(disk) as engine:
        made = script("exit 0\n")
        engine.wait(submit(engine, made))  # the environment is there: only the run needs space
        big = script("exit 0\n" + "#" * MIB)
        (id_,) = submit(engine, big)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "ballast").write_bytes(b"\0" * (free - MIB // 2))
        (found,) = engine.wait([id_])
        assert (found.outcome, found.failure and found.failure.kind) == ("failed", "disk_full"), found.failure
        (disk / "ballast").unlink()
        assert outcomes(engine.wait([engine.retry(id_).id])) == ["succeeded"]


@pytest.mark.needs("uv")
def test_a_store_that_becomes_read_only_ends_the_work_with_a_sentence(data: Path, tmp_path: Path) -> None:
    with open_engine(data, worker__lease="1s") as engine:
        (id_,) = submit(engine, script(gated(tmp_path)))
        with pytest.raises(StoreError) as caught, engine.working():  # noqa: PT012 (the end of the block raises)
            until((tmp_path / "started").exists)
            turn_read_only(engine)
            (tmp_path / "go").touch()
            for _ in engine.follow([id_]):
                pass
        assert type(caught.value) is StoreError
        assert "read-only" in caught.value.message.lower()
        with pytest.raises(StoreError):
            submit(engine, script())
    with open_engine(data) as engine:
        assert outcomes(engine.wait([id_])) == ["succeeded"]
        assert (tmp_path / "started").read_text() == "x\n"


@pytest.mark.needs("root")
def test_a_store_on_a_read_only_disk_is_said_in_a_sentence(disk: Path) -> None:
    Store(disk).close()
    remount(disk, "ro")
    with pytest.raises(StoreError) as caught:
        submit(Engine.open(load({"data": str(disk)}, environ={})), script())
    assert str(disk) in caught.value.message


@pytest.mark.needs("root")
def test_a_data_folder_that_cannot_be_made_is_said_in_a_sentence(disk: Path) -> None:
    remount(disk, "ro")
    with pytest.raises(StoreError, match="Read-only"):
        Store(disk / "below")


def test_a_store_of_a_newer_version_is_left_alone(data: Path) -> None:
    Store(data).close()
    with sqlite3.connect(data / "djed.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = (data / "djed.sqlite").read_bytes()
    with pytest.raises(StoreVersionError, match="newer Djed"):
        Store(data)
    assert (data / "djed.sqlite").read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(data: Path) -> None:
    (data / "djed.sqlite").write_text("my diary\n" * 100)
    with pytest.raises(StoreError, match="not a store"):
        Store(data)
    assert (data / "djed.sqlite").read_text() == "my diary\n" * 100


def test_a_database_of_another_program_is_left_alone(data: Path) -> None:
    with sqlite3.connect(data / "djed.sqlite") as connection:
        connection.execute("CREATE TABLE diary (day)")
    connection.close()
    with pytest.raises(StoreError, match="not a store"):
        Store(data)
    with sqlite3.connect(data / "djed.sqlite") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("diary",)]
    connection.close()


@pytest.mark.needs("uv")
def test_a_damaged_store_is_said_in_a_sentence(data: Path) -> None:
    with open_engine(data) as engine:
        submit(engine, *(script(f"exit 0 # {i}\n") for i in range(50)))
    file = data / "djed.sqlite"
    size = file.stat().st_size
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * (size - 8192))
    with pytest.raises(StoreError, match="damaged"):
        open_engine(data).page(limit=100)


def test_a_folder_in_place_of_the_store_is_said_in_a_sentence(data: Path) -> None:
    (data / "djed.sqlite").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(data)


def test_what_another_holds_for_too_long_may_be_tried_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("djed.store.sqlite._BUSY_SECONDS", 0.1)
    store = Store(data)
    # The same library: two of them in one process do not see each other's locks.
    with sqlite_driver().connect(data / "djed.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process") as caught, store.change():
            pass
        assert caught.value.transient
        other.execute("ROLLBACK")
    other.close()
    with store.change():
        pass
    store.close()
