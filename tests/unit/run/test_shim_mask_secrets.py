"""No byte of a value passes the mask, however the stream is cut into pieces; and everything else does."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.run.shim.mask import Mask, Patterns

_letters = st.binary(min_size=0, max_size=60).map(lambda data: bytes(b"ab\n"[byte % 3] for byte in data))
_values = st.lists(_letters.map(lambda text: text[:9]), min_size=1, max_size=4)


def _masked(values: dict[str, bytes], *chunks: bytes) -> bytes:
    mask = Mask(Patterns(values))
    return b"".join([*(mask.feed(chunk) for chunk in chunks), mask.feed(b"", final=True)])


def _cut(text: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(text[:size])
        text = text[size:]
    return [*chunks, text]


def _covered(text: bytes, forms: set[bytes]) -> set[int]:
    return {
        start + step
        for form in forms
        for start in range(len(text))
        if text.startswith(form, start)
        for step in range(len(form))
    }


@given(values=_values, texts=st.lists(_letters, max_size=4), sizes=st.lists(st.integers(0, 9), max_size=30))
def test_what_is_told_is_all_that_belongs_to_no_value(
    values: list[bytes], texts: list[bytes], sizes: list[int]
) -> None:
    named = {str(number): value for number, value in enumerate(values)}
    text = b"".join(piece for pair in zip(texts, values, strict=False) for piece in pair)
    covered = _covered(text, set(Patterns(named).names))
    told = _masked(named, *_cut(text, sizes))
    assert told.replace(b"***", b"") == bytes(byte for place, byte in enumerate(text) if place not in covered)
    assert (b"***" in told) == bool(covered)
    assert told == _masked(named, text)


@given(value=st.binary(min_size=4, max_size=40), sizes=st.lists(st.integers(0, 20), max_size=10))
def test_any_value_is_masked_in_any_pieces(value: bytes, sizes: list[int]) -> None:
    text = value.strip()
    told = _masked({"a": value}, *_cut(b"<<" + text + b">>", sizes))
    assert told == b"<<" + (b"***" if len(text) >= 4 else text) + b">>"


VALUE = b'pa$$ "w\xc3\xb6rd"/with+signs=&'
TEXT = VALUE.decode()


@pytest.mark.parametrize(
    "said",
    [
        VALUE,
        base64.b64encode(VALUE),
        base64.b64encode(VALUE).rstrip(b"="),
        base64.urlsafe_b64encode(VALUE),
        base64.b64encode(VALUE + b"\n"),
        quote(TEXT, safe="").encode(),
        quote(TEXT).encode(),
        quote_plus(TEXT).encode(),
        re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), quote(TEXT, safe="")).encode(),
        json.dumps(TEXT)[1:-1].encode(),
        json.dumps(TEXT, ensure_ascii=False)[1:-1].encode(),
    ],
)
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_each_form_is_masked(said: bytes, end: bytes) -> None:
    told = _masked({"a": VALUE + end}, b"x " + said + b" y")
    assert told.startswith(b"x ***")
    assert told.endswith(b" y")
    assert len(told) <= len("x *** y") + 2  # the last characters of base64 may hold bits of what follows


@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:", b"user::"])
@pytest.mark.parametrize("after", [b"", b"!", b"!!"])
def test_inside_a_longer_base64_it_is_masked(before: bytes, after: bytes) -> None:
    secret = b"correct horse battery staple"
    said = base64.b64encode(before + secret + after)
    told = _masked({"a": secret}, said)
    assert b"***" in told
    assert base64.b64encode(b"horse batter")[1:-1] not in told
    assert len(told) <= len(said) - (len(secret) * 4 // 3 - 3) + 3


def test_a_value_of_many_lines_is_masked_line_by_line_and_in_lines_of_base64() -> None:
    value = b"-----BEGIN-----\r\n" + base64.encodebytes(bytes(range(256))) + b"short\n"
    lines = [line.strip() for line in value.splitlines()]
    for line in lines:
        hidden = len(line) >= 8 and not line.startswith(b"-----")
        assert _masked({"a": value}, b"> " + line + b" <") == (b"> *** <" if hidden else b"> " + line + b" <")
    for said in (base64.encodebytes(value), *_lines_of(base64.b64encode(value), 64)):
        told = _masked({"a": value}, said)
        assert not any(piece in told for piece in said.split() if len(piece) >= 8)


def _lines_of(text: bytes, width: int) -> list[bytes]:
    return [b"\n".join(text[start : start + width] for start in range(0, len(text), width))]


@pytest.mark.parametrize("value", [b"", b"a", b"abc", b"  a \n", b"\n\n\n\n\n"])
def test_what_is_too_short_is_not_looked_for(value: bytes) -> None:
    assert _masked({"a": value}, b"abc a \n\n\n\n\n\n") == b"abc a \n\n\n\n\n\n"


def test_a_line_is_told_at_once_though_a_value_might_begin_with_its_letters() -> None:
    mask = Mask(Patterns({"a": b"topsecret", "b": b"\nlineform"}))
    assert mask.feed(b"a step to the top\n") == b"a step to the top\n"
    assert mask.feed(b"to") == b""
    assert mask.feed(b"p of it\n") == b"top of it\n"
    assert mask.feed(b"topsecre") == b""
    assert mask.feed(b"t") == b"***"


def test_a_longer_value_is_waited_for_where_a_shorter_one_has_matched() -> None:
    values = {"a": b"abcd", "b": b"abcdefgh"}
    assert _masked(values, b"abcd", b"efgh.") == b"***."
    assert _masked(values, b"abcd", b"efg.") == b"***efg."


def test_a_stream_of_nothing_but_overlapping_values_is_held_back_no_longer_than_one() -> None:
    mask = Mask(Patterns({"a": b"aaaa"}))
    told = b"".join(mask.feed(b"a") for _ in range(1000)) + mask.feed(b"", final=True)
    assert told.replace(b"***", b"") == b""
    assert len(mask._kept) < 8


def test_it_says_whose_value_it_found() -> None:
    patterns = Patterns({"one": b"first value", "two": b"second value"})
    assert patterns.first(b"... second value, first value") == "two"
    assert patterns.first(base64.b64encode(b"first value")) == "one"
    assert patterns.first(b"first valu") is None


def test_many_values_with_the_same_beginning_are_told_apart() -> None:
    values = {str(number): b"prefix-%04d" % number for number in range(0, 1000, 7)}
    patterns = Patterns(values)
    assert patterns.first(b"prefix-0693") == "693"
    assert patterns.first(b"prefix-0694") is None
