"""What rpm has installed, from a database that rpm itself wrote (tests/support/rpmdb.py), beside what rpm says of it."""

from __future__ import annotations

import gzip
import json
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.model.contents import NativePackage
from djed.toolbox.packagedb import find_native, read_native
from djed.toolbox.packagedb.rpmheader import Header, HeaderError
from djed.toolbox.rootview import RootView
from tests.support.rpmdb import RECORDED

DATA = gzip.decompress((RECORDED / "rpmdb.sqlite.gz").read_bytes())
SAID: dict[str, Any] = json.loads((RECORDED / "rpmdb.json").read_text())
KEY = "gpg-pubkey"


def put(root: Path, data: bytes, folder: str = "var/lib/rpm", name: str = "rpmdb.sqlite") -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / name).write_bytes(data)
    return root


def reasons(root: Path) -> tuple[str, ...]:
    with RootView(root) as files:
        return find_native(files)[1]


@pytest.mark.parametrize("folder", ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"])
def test_it_says_what_rpm_says(tmp_path: Path, folder: str) -> None:
    found = {package.name: package for package in read_native(put(tmp_path, DATA, folder))}
    assert found.keys() == SAID.keys() - {KEY}
    for name, package in found.items():
        line = (name, package.version, package.arch, package.source, package.licence, package.size)
        assert "|".join(map(str, line)) == SAID[name]["line"]
        said = SAID[name]
        assert sorted(package.depends) == said["requires"]
        assert sorted(package.provides) == said["provides"]
        assert sorted(package.replaces) == said["obsoletes"]
    assert reasons(tmp_path) == ()


def test_files_that_are_required_by_path_are_kept(tmp_path: Path) -> None:
    paths = {package.name: package.paths for package in read_native(put(tmp_path, DATA)) if package.paths}
    assert paths == {"wick": ("/usr/bin/wick",)}


def test_brief_is_name_version_and_architecture(tmp_path: Path) -> None:
    assert read_native(put(tmp_path, DATA), brief=True)[1] == NativePackage(
        kind="rpm", name="lamp", version="2:1.4-1.test", arch="noarch"
    )


def test_what_was_not_yet_written_back_is_read(tmp_path: Path) -> None:
    """A database that was copied while in use has part of its pages in its log."""
    live = tmp_path / "live.sqlite"
    live.write_bytes(DATA)
    root = tmp_path / "root"
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("DELETE FROM Packages WHERE hnum > 1")
        connection.commit()
        put(root, live.read_bytes())
        put(root, Path(f"{live}-wal").read_bytes(), name="rpmdb.sqlite-wal")
        assert len(read_native(root)) == 1
    assert sorted(path.name for path in (root / "var/lib/rpm").iterdir()) == [
        "rpmdb.sqlite",
        "rpmdb.sqlite-wal",
    ]
    assert (root / "var/lib/rpm/rpmdb.sqlite").read_bytes()[:16] == b"SQLite format 3\0"


@pytest.mark.parametrize(("name", "form"), [("Packages", "Berkeley DB"), ("Packages.db", "ndb")])
def test_older_formats_are_told(tmp_path: Path, name: str, form: str) -> None:
    put(tmp_path, b"", name=name)
    assert read_native(tmp_path) == ()
    assert reasons(tmp_path) == (f"/var/lib/rpm/{name}: RPM databases in the format {form} are not read",)


def database(path: Path, *statements: str, blob: bytes = b"") -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement, {"blob": blob} if ":blob" in statement else {})
        connection.commit()
    return path.read_bytes()


def test_a_view_that_never_ends_is_refused(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT blob + 1 FROM n) SELECT blob FROM n"
    put(tmp_path, database(tmp_path / "db", f"CREATE VIEW Packages AS {endless}"))
    assert read_native(tmp_path) == ()
    assert reasons(tmp_path) == ("/var/lib/rpm/rpmdb.sqlite: there is no table of packages in it",)


@pytest.mark.parametrize(
    "data", [b"", b"no database at all", DATA[:5000], DATA[:50_000], DATA[:4096] + bytes(len(DATA) - 4096)]
)
def test_a_broken_database_is_told(tmp_path: Path, data: bytes) -> None:
    put(tmp_path, data)
    assert len(read_native(tmp_path)) < len(SAID)
    assert len(reasons(tmp_path)) == 1


def test_a_broken_header_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(DATA)
    put(tmp_path, database(path, "INSERT INTO Packages VALUES (99, :blob)", blob=b"\xff" * 16))
    assert len(read_native(tmp_path)) == len(SAID) - 1
    assert reasons(tmp_path) == (
        "/var/lib/rpm/rpmdb.sqlite: a header cannot be read: it is shorter than it says",
    )


def header(*entries: tuple[int, int, int, int], data: bytes) -> bytes:
    index = b"".join(struct.pack(">4I", *entry) for entry in entries)
    return struct.pack(">2I", len(entries), len(data)) + index + data


def test_values_that_point_outside_are_missing() -> None:
    made = Header(
        header(
            (1, 6, 2**31, 1), (2, 8, 0, 2**31), (3, 4, 1, 2**30), (4, 4, 2**32 - 1, 1), (5, 77, 0, 1), (6, 6, 2, 1), data=b"ab\0cd"
        )
    )  # fmt: skip
    assert [made.texts(tag) for tag in (1, 2, 5, 6, 7)] == [[], ["ab"], [], [""], []]
    assert [made.numbers(tag) for tag in (3, 4, 5, 6)] == [[], [], [], []]
    assert made.text(1) is None
    assert made.number(3) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(blob: bytes) -> None:
    try:
        made = Header(struct.pack(">2I", 2, max(0, len(blob) - 32)) + blob)
    except HeaderError:
        return
    for tag in made._tags:
        made.texts(tag)
        made.numbers(tag)
