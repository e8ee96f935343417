"""Digests, and which SQLite may be trusted with a write-ahead log."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.toolbox.digest import digest_bytes, digest_json, digest_stream
from djed.toolbox.sqlite import sqlite_driver, sqlite_wal_safe

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_digest_of_nothing_is_the_known_one() -> None:
    assert digest_bytes(b"") == EMPTY


@pytest.mark.parametrize("start", [0, 1, 100_000, 300_000])
def test_a_stream_has_the_digest_of_what_is_left_of_it(tmp_path: Path, start: int) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as stream:
        stream.read(start)
        assert digest_stream(stream) == digest_bytes(data[start:])


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4))
def test_the_order_of_keys_does_not_change_a_digest(value: dict[str, object]) -> None:
    assert digest_json(value) == digest_json(dict(reversed(value.items())))


def test_different_values_have_different_digests() -> None:
    values = [None, {}, [], "", 0, False, {"a": 1}, {"a": "1"}, [1, 2], [2, 1], ["ab"], ["a", "b"]]
    assert len({digest_json(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 44, 9), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_only_versions_without_the_wal_reset_bug_get_a_write_ahead_log(
    version: tuple[int, ...], safe: bool
) -> None:
    assert sqlite_wal_safe(version) is safe


def test_the_driver_with_its_own_sqlite_is_preferred() -> None:
    assert sqlite_driver().__name__ == "pysqlite3.dbapi2"


def test_without_it_the_standard_library_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    assert sqlite_driver().__name__ == "sqlite3"
