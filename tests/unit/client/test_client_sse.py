"""The parser of event streams: the same messages however the bytes are cut and the lines end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.client.sse import Message, Parser
from djed.errors import ServerError

ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
TEXT = st.text(
    st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda text: not text.startswith(("\ufeff", " ")))
MESSAGES = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3), TEXT), max_size=5)


def parsed(*chunks: bytes) -> list[Message]:
    parser = Parser()
    return [message for chunk in chunks for message in parser.feed(chunk)]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(MESSAGES, st.lists(st.integers(0, 10_000), max_size=8), st.booleans(), ENDS)
def test_messages_come_out_as_they_went_in(
    messages: list[tuple[str, list[str], str]], places: list[int], marked: bool, end: bytes
) -> None:
    lines: list[str] = []
    for kind, texts, id_ in messages:
        lines += [
            ": a comment",
            f"event: {kind}",
            *(f"data: {text}" for text in texts),
            f"id: {id_}",
            "x: y",
            "",
        ]
    raw = b"".join(line.encode() + end for line in lines)
    whole = (b"\xef\xbb\xbf" if marked else b"") + raw
    assert parsed(*cut(whole, places)) == [
        Message(kind=kind, data="\n".join(texts), id=id_) for kind, texts, id_ in messages
    ]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_any_bytes_are_read_alike_however_they_are_cut(data: bytes, places: list[int]) -> None:
    assert parsed(*cut(data, places)) == parsed(data)


def test_a_message_is_handed_out_with_its_last_byte() -> None:
    parser = Parser()
    assert list(parser.feed(b"data: a\r\r")) == [Message(kind="message", data="a", id="")]
    assert list(parser.feed(b"\ndata: b\n\n")) == [Message(kind="message", data="b", id="")]


def test_an_empty_line_of_its_own_is_no_line_feed_of_the_line_before() -> None:
    assert [message.data for message in parsed(b"data: a\r", b"\r", b"data: b\r", b"\n\r\n")] == ["a", "b"]


def test_an_id_stays_until_another_comes() -> None:
    assert [message.id for message in parsed(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")] == [
        "1",
        "1",
        "",
    ]


def test_where_to_go_on_is_known_before_the_first_message() -> None:
    parser = Parser()
    assert list(parser.feed(b"retry: 2000\nid: 0.7\n")) == []
    assert parser.last_id == ""
    assert list(parser.feed(b"\n")) == []
    assert parser.last_id == "0.7"


def test_an_id_with_a_nul_is_none() -> None:
    assert parsed(b"id: a\0\ndata: x\n\n")[0].id == ""


def test_what_has_no_data_is_no_message() -> None:
    assert parsed(b"event: state\n\n: nothing\n\n\n") == []


def test_only_one_space_is_taken_away() -> None:
    assert [message.data for message in parsed(b"data:  a\n\ndata:b\n\ndata\n\n")] == [" a", "b", ""]


def test_what_breaks_off_is_not_handed_out() -> None:
    assert parsed(b"data: a\n") == []


@pytest.mark.parametrize("data", [b"data: " + b"x" * 100, b"data: xxxxxxxx\n" * 10])
def test_what_never_ends_is_refused(data: bytes) -> None:
    parser = Parser(limit=50)
    with pytest.raises(ServerError, match="more than 50 bytes"):
        list(parser.feed(data))
