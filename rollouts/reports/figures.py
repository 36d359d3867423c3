"""Figures as people read them: as many digits as their error leaves, and a minus that is one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .stats import Interval

_PLAIN = 4  # decimals up to which a small number is written without a power of ten
_MOST = 7  # figures of a number whose error is tiny: what float32 holds


def spread(
    found: Interval | None, *, percent: bool = True, signed: bool = False, digits: int | None = 2
) -> str:
    """A mean and its 95 % interval, e.g. ``"91.9 ± 0.6"``; ``"–"`` where there is none.

    The error is written with one figure, or two where the first is a 1, and the mean to the same place. Where some
    seeds have no value, it says how many have: ``"91.9 ± 0.6 (4 of 5)"``.

    Args:
        found: Over seeds.
        percent: Whether it is of fractions, written in per cent.
        signed: Whether a plus is written.
        digits: Behind the point at most, and where no error is known; None writes the significant ones.
    """
    if found is None or math.isnan(found.mean):
        return "–"
    scale = 100 if percent else 1
    mean, half = scale * found.mean, scale * found.half
    count = f" ({found.n} of {found.n + found.missing})" if found.missing else ""
    if math.isnan(half):
        return figure(mean, digits, signed=signed) + count
    if half == 0:
        return f"{figure(mean, digits, signed=signed)} ± {figure(0, digits)}{count}"
    if digits is None and half < 0.1 ** (_MOST - 1) * abs(mean):  # rounding
        return f"{figure(mean, signed=signed)} ± {half:.0e}{count}"
    places, size = _places(mean, half, digits), max(abs(mean), half)
    return f"{figure(mean, places, signed=signed, size=size)} ± {figure(half, places, size=size)}{count}"


def limits(
    found: Interval,
    *,
    percent: bool = True,
    signed: bool = False,
    digits: int | None = 2,
    unit: str = "",
) -> str:
    """A mean and the limits of its interval, e.g. ``"−53 points, 95 % interval −170 to 65"``.

    Of a single value there is no interval. Arguments are those of :func:`spread`, and the unit.
    """
    scale = 100 if percent else 1
    mean, half = scale * found.mean, scale * found.half
    if math.isnan(half):
        return figure(mean, digits, signed=signed) + unit
    places = _places(mean, half, digits, more=1) if half else digits  # so that a limit near 0 shows its side
    low, high = scale * found.low, scale * found.high
    size = max(abs(low), abs(high))
    of, first, last = (figure(end, places, signed=signed, size=size) for end in (mean, low, high))
    return f"{of}{unit}, 95 % interval {first} to {last}"


def figure(
    value: float, places: int | None = None, *, signed: bool = False, size: float | None = None
) -> str:
    """A number with so many places behind the point; None writes four significant figures.

    Args:
        value: The number.
        places: Of decimals; below 0 none are written.
        signed: Whether a plus is written; 0 has no sign.
        size: Of the largest number beside it, which decides whether powers of ten are written out.
    """
    size = abs(value) if size is None else size
    if not math.isfinite(value):
        text = str(value)
    elif places is None:
        text = f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
    elif value == 0:
        text = "0" if size < 1e-4 and places > _PLAIN else f"{value:.{max(0, places)}f}"
    elif size >= 1e7 or (size < 1e-4 and places > _PLAIN):
        text = f"{value:.{max(0, math.floor(math.log10(abs(value))) + places)}e}"
    else:
        text = f"{value:,.{max(0, places)}f}"
    head, e, power = text.partition("e")
    if not head.strip("-0.,"):  # what rounds to 0 has no sign
        return head.lstrip("-")
    sign = "+" if signed and value > 0 else ""
    return sign + head.replace("-", "−") + e + power


def as_interval(found: Mapping[str, Any]) -> Interval:
    """An interval from JSON, where null stands for NaN."""
    named: dict[str, Any] = {
        name: math.nan if found[name] is None else found[name] for name in Interval._fields
    }
    return Interval(**named)


def _places(mean: float, half: float, digits: int | None, more: int = 0) -> int:
    """Decimals that an error above 0 leaves and ``more``: of its first figure, or second if that is a 1."""
    first = math.floor(math.log10(half))
    own = -first + (1 if half / 10.0**first < 2 else 0) + more
    if digits is None:
        digits = _MOST - 1 - (math.floor(math.log10(abs(mean))) if mean else first)
    return min(own, digits)
