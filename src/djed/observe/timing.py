"""Honest statistics over repeats: a median with its interval, and "too noisy to rank" where that is the truth.

Why each number is what it is: docs/explanation/statistics.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from djed.model.observation import Statistics
from djed.observe.indicator import LARGEST
from djed.observe.rank import kendall, median_interval, quartiles, ratio_interval, sen_slope

__all__ = [
    "ASSUMED_FLOOR",
    "LARGEST",
    "NOISY",
    "Comparison",
    "Ranking",
    "compare",
    "noise_floor",
    "summarise",
]

NOISY = 0.05
"""Half-width of the interval, relative to the median, beyond which a metric is too noisy to rank."""
ASSUMED_FLOOR = 0.05
"""Relative difference that is believed where a machine has not shown its own noise."""
_LEAST_FLOOR = 0.01
"""No machine is believed below this: mere layout of memory moves identical programs by about so much (Mytkowicz et al., ASPLOS 2009)."""
_TREND = 2.576
"""Standard deviations of Kendall's score that call a trend: 1 % by chance."""
_THINNED = 400
"""Trends are looked for in at most so many values, evenly picked: the work grows with their square."""

_MORE_IS_BETTER = frozenset(
    {
        "rate",
        "gflops",
        "tflops",
        "flops",
        "throughput",
        "bandwidth",
        "ops",
        "iops",
        "fps",
        "score",
        "overall_score",
        "speedup",
    }
)
_LESS_IS_BETTER = frozenset(
    {"duration", "elapsed", "time", "latency", "seconds", "wall", "runtime", "memory", "peak_memory"}
)

Ranking = Literal["faster", "slower", "higher", "lower", "same", "cannot_tell"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How ``b`` stands to ``a`` in one metric."""

    metric: str
    verdict: Ranking
    """``faster`` and ``slower`` speak of ``b``; ``higher`` and ``lower`` where it is not known which is better; ``same``: the whole
    interval is within the noise floor; ``cannot_tell``: neither can be said."""
    reason: str
    """Why, as a sentence with the numbers."""
    ratio: float | None = None
    """b / a: the median of all pairwise ratios."""
    low: float | None = None
    """Lower end of the ratio's 95 % interval."""
    high: float | None = None
    floor: float = ASSUMED_FLOOR
    """Relative difference below which nothing is believed."""


def summarise(
    metric: str, values: Sequence[float], *, unit: str | None = None, floor: float | None = None
) -> Statistics:
    """The statistics of one metric over its counted repeats; ``floor`` is the noise floor of the machine, where it is known.

    Raises ``ValueError`` where there are no values, or one is not a number within ±:data:`LARGEST`.
    """
    kept = tuple(float(value) for value in values)
    if not kept or not all(abs(value) <= LARGEST for value in kept):
        raise ValueError(f"{metric} has no values, or one that is no usable number")
    middle = median(kept)
    if len(kept) == 1:
        reason = "one run says nothing about spread"
        return Statistics(
            metric=metric, unit=unit, values=kept, median=middle, low=middle, high=middle, reason=reason
        )
    # Outliers stay in: what happened once in ten runs happens to users, too.
    low, high, confidence = median_interval(kept)
    first, third = quartiles(kept)
    noise = _noise(kept, low, high, floor)
    few = (
        None
        if len(kept) >= 6
        else f"{len(kept)} repeats: the interval is their full range, which holds with {confidence:.0%}"
    )
    return Statistics(
        metric=metric,
        unit=unit,
        values=kept,
        median=middle,
        low=low,
        high=high,
        spread=_relative(third - first, middle),
        outliers=_outliers(kept, first, third),
        verdict="noisy" if noise else "measured",
        reason="; ".join(filter(None, (noise, few))) or None,
    )


def compare(a: Statistics, b: Statistics, *, floor: float | None = None) -> Comparison:
    """Whether ``b`` is faster or slower than ``a``, or nobody can tell.

    Without a ``floor`` the odd and even repeats of both say how noisy they are. Noisy values are ranked only where every value of one
    lies beyond every value of the other.
    """
    believed = max(noise_floor((a.values, b.values)) if floor is None else floor, _LEAST_FLOOR)
    least, most = min((*a.values, *b.values), default=0.0), max((*a.values, *b.values), default=0.0)
    if least <= 0 or most / least > LARGEST:
        return _cannot(a, believed, "a ratio needs positive values of a like size")
    interval = ratio_interval(a.values, b.values)
    if interval is None:
        return _cannot(
            a, believed, f"{len(a.values)} and {len(b.values)} repeats are too few; four of each is the least"
        )
    low, ratio, high = interval
    verdict, reason = _judge(a, b, interval, believed)
    return Comparison(
        metric=a.metric, verdict=verdict, reason=reason, ratio=ratio, low=low, high=high, floor=believed
    )


def noise_floor(values: Sequence[Sequence[float]]) -> float:
    """The smallest relative difference that is believable on a machine, from groups of repeats of the same thing (A/A).

    Odd and even repeats of a group measured the same, interleaved: what their medians differ by is noise. Of many groups the 95th
    percentile is taken, of less than twenty the largest. Groups of less than four say nothing; where no group says anything it is
    :data:`ASSUMED_FLOOR`.
    """
    differences = sorted(
        abs(math.log(median(group[1::2]) / median(group[::2])))
        for group in values
        if len(group) >= 4 and min(group) > 0
    )
    if not differences:
        return ASSUMED_FLOOR
    return max(_LEAST_FLOOR, math.expm1(differences[math.ceil(0.95 * len(differences)) - 1]))


def _noise(values: Sequence[float], low: float, high: float, floor: float | None) -> str | None:
    """Why the values are too noisy to rank, or ``None``."""
    middle = median(values)
    half = _relative((high - low) / 2, middle)
    if half > NOISY:
        return f"the median is known to ±{half:.1%} only (limit {NOISY:.0%})"
    if floor is not None and floor > NOISY:
        return f"on this machine identical runs differ by up to {floor:.1%} (limit {NOISY:.0%})"
    return _drift(values, middle) or _modes(values, middle)


def _drift(values: Sequence[float], middle: float) -> str | None:
    picked = values[:: math.ceil(len(values) / _THINNED)]
    if len(picked) < 6 or abs(kendall(picked)) < _TREND:
        return None
    change = sen_slope(picked) * (len(picked) - 1)
    total = _relative(change, middle)
    if total <= NOISY:
        return None
    return f"the values {'rise' if change > 0 else 'fall'} by {total:.1%} from the first repeat to the last"


def _modes(values: Sequence[float], middle: float) -> str | None:
    """Two groups of at least two values and a fifth of them each, farther apart than both are wide."""
    ordered = sorted(values)
    least = max(2, len(ordered) // 5)
    if len(ordered) < 2 * least:
        return None
    split = max(range(least, len(ordered) - least + 1), key=lambda cut: ordered[cut] - ordered[cut - 1])
    gap = ordered[split] - ordered[split - 1]
    widths = ordered[split - 1] - ordered[0] + ordered[-1] - ordered[split]
    if _relative(gap, middle) <= NOISY or gap <= widths:
        return None
    return f"the values fall into two groups, around {median(ordered[:split]):.4g} and {median(ordered[split:]):.4g}"


def _outliers(values: Sequence[float], first: float, third: float) -> tuple[int, ...]:
    """Repeats beyond Tukey's fences ("Exploratory Data Analysis", 1977)."""
    reach = 1.5 * (third - first)
    return tuple(
        index for index, value in enumerate(values) if value < first - reach or value > third + reach
    )


def _relative(part: float, whole: float) -> float:
    """``|part / whole|``, finite whatever they are, because JSON knows no infinity."""
    if part == 0:
        return 0.0
    return min(abs(part) / abs(whole), sys.float_info.max) if whole else 1.0


def _judge(
    a: Statistics, b: Statistics, interval: tuple[float, float, float], floor: float
) -> tuple[Ranking, str]:
    low, ratio, high = interval
    # 1 / above, not 1 - floor: swapping the sides must not change the answer.
    numbers = f"{ratio:.3g} times, 95 % interval {low:.3g} to {high:.3g}, noise floor {floor:.1%}"
    above, below = 1 + floor, 1 / (1 + floor)
    if low > above or high < below:
        apart = min(b.values) > max(a.values) or max(b.values) < min(a.values)
        noisy = next((side for side in (a, b) if side.verdict == "noisy"), None)
        if noisy is not None and not apart:
            return "cannot_tell", f"{noisy.reason}; {numbers}"
        return _direction(a.metric, ratio > 1), numbers
    if below <= low and high <= above:
        return "same", f"the difference is within the noise floor: {numbers}"
    return "cannot_tell", f"the intervals overlap, or are no farther apart than the noise: {numbers}"


def _direction(metric: str, more: bool) -> Ranking:
    """Whether more of it is better, by the last word of its name."""
    word = metric.rpartition(".")[2].lower()
    if word in _LESS_IS_BETTER:
        return "slower" if more else "faster"
    if word in _MORE_IS_BETTER:
        return "faster" if more else "slower"
    return "higher" if more else "lower"


def _cannot(a: Statistics, floor: float, reason: str) -> Comparison:
    return Comparison(metric=a.metric, verdict="cannot_tell", reason=reason, floor=floor)
