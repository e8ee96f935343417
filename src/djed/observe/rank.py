"""Statistics of ranks: they assume nothing about how measurements are distributed, only that they do not depend on one another.

Times of programs are skewed, have long tails and several modes, so means and normal intervals mislead (Kalibera and Jones, "Rigorous
benchmarking in reasonable time", ISMM 2013; Hoefler and Belli, "Scientific benchmarking of parallel computing systems", SC 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist, median

__all__ = ["kendall", "median_interval", "quartiles", "ratio_interval", "sen_slope"]

_TAIL = 0.025
"""What may lie beyond each end of a 95 % interval."""
_EXACT = 25
"""Up to this many values on a side the rank-sum distribution is counted; beyond, the normal approximation is good."""


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Low end, high end and true confidence of the interval of the median, from order statistics.

    The number of values below the median is binomial(n, ½), so the k-th smallest and k-th largest values enclose the median with
    probability 1 - 2 P(X < k) (David and Nagaraja, "Order Statistics", § 7.1). The largest k that keeps 95 % is taken; fewer than six
    values cannot reach it, so they give their full range and a lower confidence.
    """
    ordered = sorted(values)
    count = len(ordered)
    rank, below = 0, 0.0
    while rank < count // 2:
        following = below + math.comb(count, rank) / 2**count
        if following > _TAIL:
            break
        rank, below = rank + 1, following
    if rank == 0:
        return ordered[0], ordered[-1], 1 - 2 / 2**count
    return ordered[rank - 1], ordered[-rank], 1 - 2 * below


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Lower and upper quartile, interpolated linearly between order statistics (type 7 of Hyndman and Fan 1996, as NumPy does)."""
    ordered = sorted(values)
    return _quantile(ordered, 0.25), _quantile(ordered, 0.75)


def ratio_interval(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float] | None:
    """The ratio ``other / one`` with its 95 % interval: low, estimate, high. ``None`` where the values are too few for any.

    The estimate of Hodges and Lehmann (1963) on logarithms: the median of all pairwise ratios. Its interval counts pairs by the
    distribution of the Mann-Whitney U statistic (Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods", § 4.3). All values
    must be positive.
    """
    pairs = sorted(right / left for left in one for right in other)
    cut = _critical(len(one), len(other))
    if cut == 0:
        return None
    return pairs[cut - 1], median(pairs), pairs[-cut]


def kendall(values: Sequence[float]) -> float:
    """How many standard deviations the order of ``values`` is from no trend (Mann 1945, Kendall 1955; ties count as no change)."""
    count = len(values)
    score = sum(
        (values[late] > values[early]) - (values[late] < values[early])
        for late in range(count)
        for early in range(late)
    )
    return score / math.sqrt(count * (count - 1) * (2 * count + 5) / 18)


def sen_slope(values: Sequence[float]) -> float:
    """Change per step: the median slope of all pairs (Theil 1950, Sen 1968)."""
    return median(
        (values[late] - values[early]) / (late - early)
        for late in range(1, len(values))
        for early in range(late)
    )


def _quantile(ordered: Sequence[float], part: float) -> float:
    position = part * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@lru_cache(maxsize=256)
def _critical(rows: int, columns: int) -> int:
    """The largest c with P(U < c) ≤ 2.5 %, for samples of these sizes; 0 where there is none."""
    if max(rows, columns) > _EXACT:
        spread = math.sqrt(rows * columns * (rows + columns + 1) / 12)
        return max(0, math.floor(rows * columns / 2 - NormalDist().inv_cdf(1 - _TAIL) * spread))
    counts = _arrangements(rows, columns)
    total, below = math.comb(rows + columns, rows), 0
    for value, ways in enumerate(counts):
        below += ways
        if below > _TAIL * total:
            return value
    raise AssertionError("the counts add up to the total")


def _arrangements(rows: int, columns: int) -> list[int]:
    """How many orders of two samples give each U: the coefficients of the Gaussian binomial (Mann and Whitney 1947)."""
    size = rows * columns
    counts = [1] + [0] * size
    for step in range(1, rows + 1):
        for value in range(size, columns + step - 1, -1):
            counts[value] -= counts[value - columns - step]
        for value in range(step, size + 1):
            counts[value] += counts[value - step]
    return counts
