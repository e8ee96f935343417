"""Honest statistics: medians with intervals, and "cannot tell" where that is the truth."""

from __future__ import annotations

import json
import random
from collections import Counter
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.model.codec import encode
from djed.model.observation import Statistics
from djed.observe.rank import median_interval, quartiles, ratio_interval
from djed.observe.timing import ASSUMED_FLOOR, LARGEST, Ranking, compare, noise_floor, summarise

values = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40)
# A quarter of a percent more from repeat to repeat of a thousandth's spread: what a calm machine shows.
CALM = (1.000, 1.002, 0.999, 1.001, 1.003, 1.000)


def _duration(series: list[float] | tuple[float, ...]) -> Statistics:
    return summarise("duration", series, unit="s")


@given(values)
def test_the_interval_holds_the_median_and_lies_within_the_values(series: list[float]) -> None:
    found = _duration(series)
    assert min(series) <= found.low <= found.median <= found.high <= max(series)


@given(values, st.sampled_from([0.25, 2.0, 1024.0]))
def test_a_change_of_unit_changes_nothing_but_the_numbers(series: list[float], factor: float) -> None:
    one, other = _duration(series), _duration([value * factor for value in series])
    assert (other.median, other.low, other.high) == (one.median * factor, one.low * factor, one.high * factor)
    assert (other.spread, other.outliers, other.verdict) == (one.spread, one.outliers, one.verdict)


@given(values, st.randoms())
def test_the_order_of_repeats_changes_neither_median_nor_interval(
    series: list[float], shuffler: random.Random
) -> None:
    shuffled = list(series)
    shuffler.shuffle(shuffled)
    one, other = _duration(series), _duration(shuffled)
    assert (one.median, one.low, one.high, one.spread) == (other.median, other.low, other.high, other.spread)


@given(st.lists(st.floats(-LARGEST, LARGEST), min_size=1, max_size=12))
def test_any_finite_values_give_statistics_that_json_can_carry(series: list[float]) -> None:
    json.dumps(encode(_duration(series)), allow_nan=False)


@pytest.mark.parametrize(("count", "least"), [(5, 0.90), (8, 0.93), (15, 0.93)])
def test_the_interval_covers_the_true_median_as_often_as_it_says(count: int, least: float) -> None:
    draw = random.Random(1)
    hits = 0
    for _ in range(300):
        low, high, _confidence = median_interval([draw.lognormvariate(0, 0.5) for _ in range(count)])
        hits += low <= 1 <= high
    assert hits / 300 >= least


@pytest.mark.parametrize(("count", "confidence"), [(2, 0.5), (5, 0.9375), (6, 0.96875), (10, 0.978515625)])
def test_the_interval_knows_its_own_confidence(count: int, confidence: float) -> None:
    assert median_interval(list(range(count)))[2] == confidence


def test_quartiles_are_those_of_numpy() -> None:
    assert quartiles([1, 2, 3, 4, 10]) == (2, 4)


def test_one_run_says_nothing_about_spread() -> None:
    found = _duration([1.5])
    assert (found.verdict, found.low, found.high, found.spread) == ("single", 1.5, 1.5, 0.0)


def test_steady_runs_are_measured() -> None:
    found = _duration(CALM)
    assert (found.verdict, found.reason) == ("measured", None)


def test_fewer_than_six_runs_say_what_their_interval_is_worth() -> None:
    found = _duration(CALM[:5])
    assert found.verdict == "measured"
    assert found.reason == "5 repeats: the interval is their full range, which holds with 94%"


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ([1.0, 1.3, 0.9, 1.2, 1.1, 1.0], "the median is known to ±"),
        (
            [1 + 0.004 * step for step in range(20)],
            "the values rise by 7.3% from the first repeat to the last",
        ),
        ([1 - 0.004 * step for step in range(20)], "the values fall by"),
        ([1.0, 1.001] * 8 + [1.9, 1.901] * 2, "two groups, around 1 and 1.9"),
    ],
)
def test_what_is_too_noisy_to_rank_says_why(series: list[float], words: str) -> None:
    found = _duration(series)
    assert (found.verdict, words in str(found.reason)) == ("noisy", True), found.reason


def test_a_noisy_machine_makes_the_steadiest_runs_noisy() -> None:
    found = summarise("duration", CALM, floor=0.12)
    assert found.verdict == "noisy"
    assert "differ by up to 12.0%" in str(found.reason)


def test_outliers_are_named_by_their_repeat() -> None:
    assert _duration([1.0, 1.01, 5.0, 1.02, 1.0, 1.01]).outliers == (2,)


@pytest.mark.parametrize("series", [[], [float("nan")], [1.0, float("inf")], [1e308]])
def test_what_has_no_finite_values_is_refused(series: list[float]) -> None:
    with pytest.raises(ValueError, match="duration has no values"):
        _duration(series)


@pytest.mark.parametrize(
    ("metric", "factor", "verdict"),
    [
        ("duration", 0.8, "faster"),
        ("duration", 1.25, "slower"),
        ("result.rate", 1.25, "faster"),
        ("overall_score", 0.8, "slower"),
        ("loss", 1.25, "higher"),
        ("loss", 0.8, "lower"),
    ],
)
def test_a_clear_difference_is_told_in_the_words_of_its_metric(
    metric: str, factor: float, verdict: Ranking
) -> None:
    found = compare(summarise(metric, CALM), summarise(metric, [value * factor for value in CALM]))
    assert found.verdict == verdict
    assert found.low is not None
    assert found.high is not None
    assert found.low <= factor <= found.high


def test_a_difference_below_the_noise_floor_is_none() -> None:
    slightly = [value * 1.02 for value in CALM]
    assert compare(_duration(CALM), _duration(slightly), floor=0.01).verdict == "slower"
    assert compare(_duration(CALM), _duration(slightly), floor=0.05).verdict == "same"


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ([1.0], [2.0], "too few"),
        ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], "too few"),
        ([1.0, 0.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], "positive"),
        ([1e-290] * 4, [1e290] * 4, "positive"),
        ([1.0, 1.1, 1.2, 1.3, 1.4], [1.1, 1.2, 1.3, 1.4, 1.5], "the intervals overlap"),
    ],
)
def test_what_cannot_be_told_says_why(one: list[float], other: list[float], words: str) -> None:
    found = compare(_duration(one), _duration(other), floor=0.01)
    assert (found.verdict, words in found.reason) == ("cannot_tell", True), found.reason


def test_noisy_values_are_ranked_only_where_they_lie_apart() -> None:
    rising = [1 + 0.01 * step for step in range(12)]
    assert (
        compare(_duration(rising), _duration([value * 1.08 for value in rising]), floor=0.01).verdict
        == "cannot_tell"
    )
    assert (
        compare(_duration(rising), _duration([value * 2 for value in rising]), floor=0.01).verdict == "slower"
    )


@pytest.mark.parametrize(("count", "spread"), [(4, 0.02), (5, 0.005), (10, 0.03), (12, 0.2)])
def test_identical_things_are_hardly_ever_told_apart(count: int, spread: float) -> None:
    draw = random.Random(7)
    verdicts = Counter(
        compare(
            *(_duration([draw.lognormvariate(0, spread) for _ in range(count)]) for _ in range(2)), floor=0.01
        ).verdict
        for _ in range(200)
    )
    assert verdicts["same"] + verdicts["cannot_tell"] >= 190, verdicts


def test_swapping_the_sides_turns_the_ratio_over() -> None:
    one, other = CALM, tuple(value * 1.3 for value in CALM)
    there, back = ratio_interval(one, other), ratio_interval(other, one)
    assert there is not None
    assert back is not None
    assert there[0] * back[2] == pytest.approx(1)
    assert there[1] * back[1] == pytest.approx(1)


def test_the_interval_of_a_ratio_follows_the_published_table() -> None:
    """Critical values of the rank-sum test at 5 % two-sided: none for 3 + 3; 2 for 5 + 5 pairs: the third smallest pair is the end."""
    assert ratio_interval([1, 2, 3], [1, 2, 3]) is None
    found = ratio_interval([1, 1, 1, 1, 1], [1, 2, 3, 4, 5])
    assert found == (1, 3, 5)
    spaced = ratio_interval([1.0] * 10, list(range(1, 60)))
    assert spaced is not None
    assert spaced[1] == median(range(1, 60))


def test_the_noise_floor_is_what_odd_and_even_repeats_differ_by() -> None:
    assert noise_floor([[1.0, 1.1, 1.0, 1.1, 1.0, 1.1]]) == pytest.approx(0.1)


def test_one_bad_group_in_forty_does_not_set_the_floor() -> None:
    groups = [[1.0, 1.02, 1.0, 1.02]] * 39 + [[1.0, 2.0, 1.0, 2.0]]
    assert noise_floor(groups) == pytest.approx(0.02)
    assert noise_floor(groups[-2:]) == pytest.approx(1.0)


def test_the_noise_floor_is_never_less_than_one_percent_and_assumed_where_nothing_is_known() -> None:
    assert noise_floor([[1.0] * 10]) == 0.01
    assert noise_floor([[1.0, 2.0], [0.0] * 8]) == ASSUMED_FLOOR
