"""Intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean over ``n`` seeds and how far to trust it."""

    mean: float
    half: float
    """Half-width of the 95 % confidence interval of the mean; NaN from a single value."""
    n: int
    low: float = math.nan
    """The smallest value; NaN in results that were written before it was kept."""
    high: float = math.nan
    """The largest; likewise."""


def interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean over seeds; NaN, a case that did not occur, is left out where others did."""
    from scipy.stats import t

    values = [value for value in values if not math.isnan(value)] or values
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(mean, math.nan, n, mean, mean)
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    half = float(t.ppf(0.975, n - 1)) * math.sqrt(variance / n)
    return Interval(mean, half, n, min(values), max(values))
