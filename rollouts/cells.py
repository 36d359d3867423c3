"""What stands in the cells of tables: figures with their intervals, and names with their marks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from .names import COUNTS, EXAM, is_fraction
from .stats import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from .report import Report

TRANSDUCTIVE = "† transductive: the exam's inputs shape more than the answers to it"
"""The note below a table in which something is marked so."""


def marked(name: str, transductive: bool) -> str:
    """A name, with the sign of :data:`TRANSDUCTIVE` where it is due."""
    return f"{name}†" if transductive else name


def note(table: Table, signs: Iterable[bool]) -> None:
    """Explain the sign below a table that shows it."""
    if any(signs):
        table.caption, table.caption_justify = TRANSDUCTIVE, "left"


class Style(TypedDict):
    """How a metric's figures are written; arguments of :func:`spread`."""

    percent: bool
    digits: int | None


def style(metric: str, headline: str = EXAM) -> Style:
    """How figures of a metric are written in worlds of a headline."""
    percent = is_fraction(metric, headline)
    if headline != EXAM and not percent:  # the world's own unit: a distance may be 1e-41
        return {"percent": False, "digits": None}
    return {"percent": percent, "digits": 0 if metric in COUNTS else 2}


def spread(
    found: Interval | None, *, percent: bool = True, signed: bool = False, digits: int | None = 2
) -> str:
    """A mean and its 95 % interval, e.g. ``"91.93 ± 0.61"``; of two seeds their range; "–" of none or of NaN.

    Args:
        found: Over seeds.
        percent: Whether it is of fractions, written in per cent.
        signed: Whether a plus is written.
        digits: Behind the point; None writes as many as are significant.
    """
    if found is None or math.isnan(found.mean):
        return "–"
    scale = 100 if percent else 1
    if found.n == 2 and not math.isnan(found.low):
        digits = min(digits or 0, 1) if percent else digits
        low, high = (figure(scale * end, digits, signed=signed) for end in (found.low, found.high))
        reach = "" if low == high else f" ({low}–{high})"
    else:
        reach = "" if math.isnan(found.half) else f" ± {figure(scale * found.half, digits, significant=2)}"
    return figure(scale * found.mean, digits, signed=signed) + reach


def figure(value: float, digits: int | None, *, signed: bool = False, significant: int = 4) -> str:
    """A number with so many digits behind the point; None writes the significant ones."""
    sign = "+" if signed else ""
    if digits is None and not 1000 <= abs(value) < 1e7:
        return f"{value:{sign}.{significant}g}"
    return f"{value:{sign},.{digits or 0}f}"


def measured(report: Report, mode: str, metric: str) -> str:
    """A metric of a report as text."""
    return spread(report.interval(mode, metric), **style(metric, report.headline))


def as_interval(found: Mapping[str, Any]) -> Interval:
    """An interval from JSON, where null stands for a figure there is none of; early results tell no range."""
    names = ("mean", "half", "low", "high")
    mean, half, low, high = (math.nan if found.get(name) is None else found[name] for name in names)
    return Interval(mean, half, found["n"], low, high)
