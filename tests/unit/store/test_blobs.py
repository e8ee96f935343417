"""Contents by digest."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from djed.errors import NotFoundError, StoreError
from djed.store.blobs import Blobs
from djed.toolbox.digest import digest_bytes


def test_what_is_put_can_be_got_by_its_digest(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    digest = blobs.put(b"content")
    assert digest == digest_bytes(b"content")
    assert blobs.get(digest) == b"content"


def test_a_stream_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    content = b"x" * 3_000_000
    assert blobs.put_stream(io.BytesIO(content)) == digest_bytes(content) == blobs.put(content)
    assert [digest for digest, _, _ in blobs.all()] == [digest_bytes(content)]


@pytest.mark.parametrize(
    "digest", ["", "sha256:../../etc/passwd", "md5:00", "sha256:" + "0" * 63, "sha256:" + "0" * 64]
)
def test_what_is_no_digest_or_not_there_is_not_found(tmp_path: Path, digest: str) -> None:
    with pytest.raises(NotFoundError):
        Blobs(tmp_path).path(digest)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "sha256").write_text("in the way")
    with pytest.raises(StoreError):
        Blobs(tmp_path).put(b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["sha256"]


def test_a_removed_content_is_gone(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"content")
    blobs.remove(digest)
    with pytest.raises(NotFoundError):
        blobs.get(digest)
