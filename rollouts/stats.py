"""Intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean and the half-width of its 95 % confidence interval (NaN from a single value); ``n`` values."""

    mean: float
    half: float
    n: int


def interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean over seeds."""
    from scipy.stats import t

    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(mean, math.nan, n)
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    return Interval(mean, float(t.ppf(0.975, n - 1)) * math.sqrt(variance / n), n)
