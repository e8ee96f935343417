"""A stream of any length fits into its file: head, marker, tail."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djed.run.shim import capture


def _captured(path: Path, chunks: list[bytes], cap: int) -> tuple[bytes, dict[str, object]]:
    stream = capture.Capture(str(path), cap)
    for chunk in chunks:
        stream.feed(chunk)
    return (told := stream.close()) and path.read_bytes(), told


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=12), cap=st.integers(0, 120))
def test_keeps_all_that_fits_else_head_marker_and_tail(tmp_path: Path, chunks: list[bytes], cap: int) -> None:
    written = b"".join(chunks)
    kept, told = _captured(tmp_path / "s", chunks, cap)
    tail = min(capture.TAIL, cap // 2)
    head = cap - tail
    if len(written) <= cap:
        assert kept == written
    else:
        marker = b"\n[djed: %d bytes left out]\n" % (len(written) - cap)
        assert kept == written[:head] + marker + written[len(written) - tail :]
    assert told == {"size": len(written), "kept": len(kept), "truncated": len(written) > cap}


def test_the_head_is_visible_at_once(tmp_path: Path) -> None:
    stream = capture.Capture(str(tmp_path / "s"), 100)
    stream.feed(b"line\n")
    assert (tmp_path / "s").read_bytes() == b"line\n"
    stream.close()


def test_a_full_disk_is_told_and_the_rest_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = capture.Capture(str(tmp_path / "s"), 100)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(capture.os, "write", full)
        stream.feed(b"x" * 10)
    stream.feed(b"y" * 10)
    assert "no space left" in stream.error
    assert stream.close() == {"size": 20, "kept": 0, "truncated": True}


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "s").symlink_to("target")
    with pytest.raises(OSError, match="symbolic links"):
        capture.Capture(str(tmp_path / "s"), 100)
    assert (tmp_path / "target").read_bytes() == b"kept"
