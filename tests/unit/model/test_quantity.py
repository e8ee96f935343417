"""Quantities as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.model.quantity import (
    Range,
    format_duration,
    format_size,
    parse_count,
    parse_duration,
    parse_range,
    parse_size,
)

PARSERS = (parse_size, parse_duration, parse_count, parse_range)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        (1024, 1024),
        ("2Gi", 2**31),
        ("1.5Ki", 1536),
        ("500M", 5 * 10**8),
        (" 1 GiB ", 2**30),
        ("3k", 3000),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("10m", 600.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("1d", 86400.0),
        (2.5, 2.5),
        ("30 s", 30.0),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "count"), [("2", 2.0), ("500m", 0.5), (0.5, 0.5), ("0", 0.0)])
def test_counts(text: str | float, count: float) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("4", 4, 4), ("4+", 4, None), ("4..8", 4, 8), (" 4 .. 8 ", 4, 8), (6, 6, 6), ("0+", 0, None)],
)
def test_ranges(text: str | int, low: float, high: float | None) -> None:
    assert parse_range(text) == Range(low=low, high=high)


def test_a_range_of_sizes_is_read_with_its_units() -> None:
    assert 2**31 in parse_range("1Gi..4Gi", parse_size)
    assert 2**33 not in parse_range("1Gi..4Gi", parse_size)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "1e3",
        "nan",
        "inf",
        "1,5",
        "2 Gi Gi",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "1" * 16,
        "\n",
        "+",
        "..",
        "1..",
        "8..4..2",
    ],
)
def test_what_is_no_quantity_is_refused_in_a_sentence(parse: object, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text)) + "|is not"):
        parse(text)  # type: ignore[operator]


@pytest.mark.parametrize("text", ["0", "0s", "0.0h"])
def test_no_time_at_all_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller number first"):
        parse_range("8..4")


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_sentence(text: str) -> None:
    for parse in PARSERS:
        try:
            parse(text)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017 (nothing may be raised at all)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_range_holds_its_ends_and_nothing_outside(one: int, other: int) -> None:
    low, high = sorted((one, other))
    found = parse_range(f"{low}..{high}")
    assert low in found
    assert high in found
    assert low - 1 not in found
    assert high + 1 not in found


@given(st.integers(0, 2**49))
def test_a_size_is_written_so_that_it_reads_back_within_its_digits(size: int) -> None:
    text = format_size(size)
    number, unit = text.split()
    assert unit in {"B", "KiB", "MiB", "GiB", "TiB"}
    assert float(number) * 1024 ** ["B", "KiB", "MiB", "GiB", "TiB"].index(unit) == pytest.approx(
        size, rel=0.006
    )


@given(st.just(0.0) | st.floats(1e-6, 1e6))
def test_a_duration_is_written_in_a_few_characters_and_never_in_sixty_of_a_unit(seconds: float) -> None:
    text = format_duration(seconds)
    assert len(text) <= 10
    assert re.fullmatch(r"[\d.e-]+ms|[1-5]?\d\.\d\ds|[1-5]?\dm [0-5]\ds|\d+h [0-5]\dm", text), text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.34, "340ms"),
        (1.234, "1.23s"),
        (125, "2m 05s"),
        (11400, "3h 10m"),
        (0.9999, "1.00s"),
        (0.0005, "0.5ms"),
    ],
)
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
