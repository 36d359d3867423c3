"""What stands in the cells of tables: how a metric's figures are written, and names with their marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from ..metrics.names import COUNTS, EXAM, is_fraction
from .figures import spread

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


def measured(report: Report, mode: str, metric: str) -> str:
    """A metric of a report as text."""
    return spread(report.interval(mode, metric), **style(metric, report.headline))
