"""What is sealed opens with its key and in its place, and nowhere else."""

from __future__ import annotations

import base64
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from djed.errors import ConfigError, MissingPartError, UnsafeError
from djed.toolbox.seal import Seal


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "secrets.key"


def _new_key() -> bytes:
    return base64.b64encode(os.urandom(32)) + b"\n"


@pytest.mark.parametrize("text", [b"", b"x", b"a longer value", b"\0\xff\n" * 1000])
def test_what_is_sealed_opens_in_its_context(key: Path, text: bytes) -> None:
    seal = Seal(key)
    sealed = seal.seal(text, context="a/b")
    assert seal.open(sealed, context="a/b") == text
    assert seal.seal(text, context="a/b") != sealed
    assert len(text) < 8 or base64.urlsafe_b64encode(text).decode() not in sealed


def test_the_key_file_is_made_for_its_owner_alone_and_nothing_beside_it(key: Path) -> None:
    Seal(key).seal(b"x", context="c")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [path.name for path in key.parent.iterdir()] == ["secrets.key"]


def test_made_by_many_at_once_there_is_one_key(key: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda _: Seal(key).seal(b"x", context="c"), range(16)))
    assert {Seal(key).open(item, context="c") for item in sealed} == {b"x"}


def test_a_row_in_the_place_of_another_does_not_open(key: Path) -> None:
    sealed = Seal(key).seal(b"x", context="a/b")
    with pytest.raises(UnsafeError, match="sealed for a/c cannot be opened"):
        Seal(key).open(sealed, context="a/c")


def test_what_was_changed_does_not_open(key: Path) -> None:
    seal = Seal(key)
    sealed = seal.seal(b"value", context="c")
    for place in range(2, len(sealed) - 1):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(UnsafeError):
            seal.open(changed, context="c")


@pytest.mark.parametrize("sealed", ["", "1.", "1.AAAA", "1.====", "2.AAAA", "ö", "x" * 1000])
def test_nonsense_does_not_open(key: Path, sealed: str) -> None:
    Seal(key).seal(b"x", context="c")
    with pytest.raises(UnsafeError):
        Seal(key).open(sealed, context="c")


def test_a_new_first_key_seals_and_the_old_one_still_opens(key: Path) -> None:
    seal = Seal(key)
    old = seal.seal(b"old", context="c")
    before = key.read_bytes()
    key.write_bytes(_new_key() + before)
    new = seal.seal(b"new", context="c")
    assert (seal.open(old, context="c"), seal.open(new, context="c")) == (b"old", b"new")
    key.write_bytes(before)
    with pytest.raises(UnsafeError, match="another key"):
        seal.open(new, context="c")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_use_is_refused(key: Path, mode: int) -> None:
    sealed = Seal(key).seal(b"x", context="c")
    key.chmod(mode)
    with pytest.raises(ConfigError, match="used by others"):
        Seal(key).open(sealed, context="c")


@pytest.mark.parametrize("text", [b"", b"short\n", b"not base64 at all!\n", b"\xff\0", b"QUJD\n"])
def test_a_file_without_keys_is_refused(key: Path, text: bytes) -> None:
    key.parent.mkdir()
    key.write_bytes(text)
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="does not hold keys"):
        Seal(key).seal(b"x", context="c")


def test_without_its_key_nothing_opens_and_no_new_key_is_made(key: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        Seal(key).open("1.AAAA", context="c")
    assert not key.exists()


def test_a_key_file_that_cannot_be_read_or_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be read"):
        Seal(tmp_path / "file" / "key").seal(b"x", context="c")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "key")
    with pytest.raises(ConfigError, match="is not there"):
        Seal(tmp_path / "link").seal(b"x", context="c")


def test_without_the_package_a_hint_says_how_to_get_it(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingPartError) as caught:
        Seal(key).seal(b"x", context="c")
    assert caught.value.hint == "pip install 'djed[secrets]'"
    with pytest.raises(MissingPartError):
        Seal(key).open("1.AAAA", context="c")
