"""What was found is kept by its digest, and what was kept is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.model.contents import Contents, Layer, NativePackage, PythonFile, PythonPackage
from djed.observe.contents import cached

DIGEST = "sha256:" + "0" * 64
FULL = Contents(
    target="x",
    kind="image",
    digest=DIGEST,
    os_release={"ID": "debian"},
    native=(NativePackage(kind="deb", name="a", version="1", depends=("b",), size=5),),
    python=(PythonPackage(name="a", version="1", location="/é", requires=("b",)),),
    python_files=(PythonFile(path="/a.py", sha256="1" * 64), PythonFile(path="/b.py", sha256="2" * 64)),
    symbols={"/lib/x.so": ("X_1",)},
    layers=(Layer(digest=DIGEST, size=1),),
    config={"config": {"Env": ["A=1"]}},
    skipped=("this",),
)
EMPTY = Contents(target="x", kind="root")


def never() -> Contents:
    pytest.fail("made again")


@pytest.mark.parametrize("contents", [FULL, EMPTY])
def test_it_is_made_once(tmp_path: Path, contents: Contents) -> None:
    assert cached(tmp_path / "cache", DIGEST, lambda: contents) == contents
    assert cached(tmp_path / "cache", DIGEST, never) == contents
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["0" * 64 + ".json"]


def kept(folder: Path) -> Path:
    cached(folder, DIGEST, lambda: FULL)
    return folder / ("0" * 64 + ".json")


@pytest.mark.parametrize("cut", [0, 10, 60, 500])
def test_what_was_cut_off_is_made_again(tmp_path: Path, cut: int) -> None:
    path = kept(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    assert cached(tmp_path, DIGEST, lambda: EMPTY) == EMPTY
    assert cached(tmp_path, DIGEST, never) == EMPTY


def test_what_was_changed_is_made_again(tmp_path: Path) -> None:
    path = kept(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"debian"', b'"ubuntu"'))
    assert cached(tmp_path, DIGEST, lambda: EMPTY) == EMPTY


def test_what_another_version_wrote_is_made_again(tmp_path: Path) -> None:
    path = kept(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"djed contents 1 ", b"djed contents 0 "))
    assert cached(tmp_path, DIGEST, lambda: EMPTY) == EMPTY


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cached(tmp_path / "file", DIGEST, lambda: FULL) == FULL


def test_nothing_is_kept_of_what_failed(tmp_path: Path) -> None:
    def fail() -> Contents:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        cached(tmp_path, DIGEST, fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "digest", ["", "sha256:x", "../" + "0" * 64, "sha256:" + "0" * 64 + "\n", "sha512:" + "0" * 64]
)
def test_only_digests_name_what_is_kept(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ValueError, match="no digest"):
        cached(tmp_path, digest, lambda: EMPTY)
