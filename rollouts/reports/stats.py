"""Intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ...envs.errors import ConfigError

LEVEL = 0.95
"""Confidence of every interval here."""


class Interval(NamedTuple):
    """A mean over ``n`` seeds and its 95 % confidence interval, by Student's t with ``n − 1`` degrees of freedom."""

    mean: float
    half: float
    """Half-width of the interval; NaN from a single value."""
    n: int
    """Seeds that have a value."""
    low: float
    """Lower limit of the interval, ``mean − half``."""
    high: float
    """Upper limit, ``mean + half``."""
    min: float
    """The smallest value."""
    max: float
    """The largest value."""
    missing: int = 0
    """Seeds that have none: what was measured is not finite there, or did not occur."""


def interval(values: Sequence[float]) -> Interval:
    """The mean over seeds and its 95 % interval.

    Args:
        values: One a seed. Those that are not finite are left out, and counted in ``missing``.

    Returns:
        NaN throughout, and ``n`` of 0, where no value is finite.

    Raises:
        ConfigError: There are no values.
    """
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise ConfigError(f"an interval is of a list of numbers, one a seed, got {values!r}") from None
    if not numbers:
        raise ConfigError("an interval is of one value or more, got none: give the values of the seeds")
    finite = [value for value in numbers if math.isfinite(value)]
    n, missing = len(finite), len(numbers) - len(finite)
    if n == 0:
        nan = math.nan
        return Interval(nan, nan, 0, nan, nan, nan, nan, missing)
    least, most = min(finite), max(finite)
    mean = least if least == most else math.fsum(finite) / n  # equal values: no error of rounding
    half = math.nan
    if n > 1:
        from scipy.special import stdtrit  # all of scipy.stats takes a second to import

        distance = math.hypot(*(v - mean for v in finite))  # whose squares may be beyond floats
        half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * distance / math.sqrt(n * (n - 1))
    return Interval(mean, half, n, mean - half, mean + half, least, most, missing)


def verdict(found: Interval) -> str | None:
    """What a mean difference over seeds shows: "gain", "loss", "equal", or None where it is not resolved.

    A difference is resolved where its interval leaves out 0. Equal values of two seeds have an interval of no width,
    which shows nothing; that all differences are exactly 0 is "equal" in any number of seeds.
    """
    if found.n and found.min == found.max == 0:
        return "equal"
    if found.n < 2 or (found.half == 0 and found.n < 3) or found.low <= 0 <= found.high:
        return None
    return "gain" if found.mean > 0 else "loss"
