"""The parts of the hub without a server: bookmarks, windows, text, waking."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.api.sse import Bookmark, Mark, frame, json_of, opening
from djed.api.tails import KEPT, Growth, Tail, Window, decode
from djed.errors import UnreadableError
from djed.store.job_logs import JobLog
from djed.toolbox.watch import Folders

MARKS = st.builds(
    Mark,
    attempt=st.integers(0, 999),
    stdout=st.integers(0, 10**18 - 1),
    stderr=st.integers(0, 10**18 - 1),
)


@given(
    position=st.sampled_from(["", "0.1", "123.456"]),
    marks=st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]{1,16}", fullmatch=True), MARKS, max_size=3),
)
def test_bookmark_comes_back_as_it_was(position: str, marks: dict[str, Mark]) -> None:
    bookmark = Bookmark(position=position, marks=marks)
    assert Bookmark.parse(str(bookmark)) == bookmark


@pytest.mark.parametrize(
    "text",
    [
        *("x", "1", "1.", "1.2.3", "1.2;", "1.2;job", "1.2;job.1.2", "1.2;job.1.2.-3", "1.2;j\nb.1.2.3"),
        *("\u0661.\u0662", "1.2" + ";job.1.2.3" * 5000, "1.2;job.1.2." + "9" * 19, " 1.2", "1.2 "),
        "1.2;../job.1.2.3",
    ],
)
def test_forged_bookmark_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError, match="Last-Event-ID"):
        Bookmark.parse(text)


def test_frame_is_one_event_of_the_format() -> None:
    data = json_of({"text": "a\nb\r\n\u2028 é"})
    assert frame("log", data, "0.1").decode() == (
        'event: log\nid: 0.1\ndata: {"text":"a\\nb\\r\\n\u2028 é"}\n\n'
    )


def test_half_of_a_surrogate_pair_is_escaped() -> None:
    assert json_of({"a": "\ud800é"}) == '{"a":"\\ud800\\u00e9"}'


def test_opening_names_the_place_where_there_is_one() -> None:
    assert opening(Bookmark()) == b"retry: 2000\n\n"
    assert opening(Bookmark(position="0.7")) == b"retry: 2000\nid: 0.7\n\n"


@given(st.text(), st.lists(st.integers(1, 7)))
def test_text_in_pieces_is_the_whole_text(text: str, cuts: list[int]) -> None:
    """Wherever the bytes are cut, no character is."""
    data, found, offset, seen = text.encode(), "", 0, 0
    for cut in [*cuts, len(data)]:
        seen = min(len(data), seen + cut)
        piece, taken = decode(data[offset:seen], last=False)
        found += piece
        offset += taken
    assert found == text
    assert offset == len(data)


def test_bytes_that_are_no_text_are_replaced_and_a_cut_character_waits() -> None:
    assert decode(b"a\xffb\xe2\x82", last=False) == ("a\ufffdb", 3)
    assert decode(b"\xe2\x82", last=False) == ("", 0)
    assert decode(b"\xe2\x82", last=True) == ("\ufffd", 2)


def test_window_keeps_the_newest_bytes_within_a_bound() -> None:
    window, whole = Window(), os.urandom(5 * KEPT)
    for start in range(0, len(whole), 1000):
        window.put(start, whole[start : start + 1000])
        assert window.end - window.start <= 2 * KEPT
    assert window.end == len(whole)
    assert window.end - window.start >= KEPT
    assert window.get(window.start + 5, 10) == whole[window.start + 5 : window.start + 15]
    assert window.get(window.start - 1, 10) == b""
    assert window.get(window.end, 10) == b""


def test_window_begins_anew_behind_a_gap() -> None:
    window = Window()
    window.put(0, b"abc")
    window.put(10, b"xyz")
    assert (window.start, window.end, window.get(10, 9)) == (10, 13, b"xyz")


def test_tail_begins_anew_with_each_attempt_and_wakes_its_followers() -> None:
    tail, wake = Tail(), asyncio.Event()
    tail.wakes.add(wake)
    tail.grow(Growth(log=_log(1), pieces=(("stdout", 0, b"first"),)))
    assert wake.is_set()
    assert tail.get("stdout", 0, 99) == b"first"
    tail.grow(Growth(log=_log(2), pieces=(("stdout", 0, b"2nd"),)))
    assert tail.get("stdout", 0, 99) == b"2nd"


def test_tail_sends_to_the_store_whoever_is_behind_what_it_has() -> None:
    tail = Tail()
    tail.grow(Growth(log=_log(1), pieces=(("stdout", 100, b"abc"),)))
    assert tail.is_elsewhere("stdout", 99)
    assert not tail.is_elsewhere("stdout", 100)
    assert not tail.is_elsewhere("stdout", 103)
    tail.grow(Growth(log=_log(1, over=True), sizes={"stdout": 104}))
    assert tail.is_elsewhere("stdout", 103)
    assert not tail.is_elsewhere("stdout", 104)


def _log(number: int, *, over: bool = False) -> JobLog:
    return JobLog(job="job", attempt=f"djed-job-{number}", number=number, over=over)


def test_folders_tell_which_changed(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    folders = Folders()
    folders.add(one)
    folders.add(two)
    assert folders.changed() == set()
    (two / "stdout").write_text("a")
    assert folders.changed() == {two}
    assert folders.changed() == set()
    folders.remove(two)
    folders.remove(two)
    (two / "stdout").write_text("b")
    (one / "stdout").write_text("b")
    assert folders.changed() == {one}
    folders.close()


def test_folder_that_is_not_there_counts_as_changed_until_it_is(tmp_path: Path) -> None:
    folders, folder = Folders(), tmp_path / "folder"
    folders.add(folder)
    assert folders.changed() == {folder}
    folder.mkdir()
    folders.add(folder)
    assert folders.changed() == set()
    folder.rmdir()
    assert folders.changed() == {folder}
    folders.close()
