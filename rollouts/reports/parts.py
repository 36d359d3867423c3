"""What experts are worth, by part of their policy: a table, and the parts held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from .figures import limits, spread
from .stats import interval, verdict

if TYPE_CHECKING:
    from .report import Report

COLUMNS = ("expert", "general", "average", "global", "own_best")
"""Figures that are shown; the others are in the report's JSON."""

LEGEND = (
    "expert: on one's own classes; general: on the others'; average: of these two;",
    "global: on all; own best: agents whom nobody equals at their own classes",
)

_WORDS = {"gain": "a gain", "loss": "a loss", "equal": "exactly equal", None: "not resolved"}


def parts_table(report: Report) -> Table:
    """A section a mode, a row a part."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("experts, %")
    for figure in COLUMNS:
        table.add_column(figure.replace("_", " "), justify="right")
    for mode in report.modes:
        table.add_row(Text(mode, style="bold"))
        for part in report.parts:
            found = (report.metrics[mode].get(f"{part}_{figure}") for figure in COLUMNS)
            table.add_row(f"  {part}", *(spread(interval(own) if own else None, digits=1) for own in found))
        table.add_section()
    return table


def parts_compared(report: Report) -> list[str]:
    """A line for each of :data:`~studyhall.rollouts.reports.report.PAIRS`: its averages in open worlds, paired."""
    lines = []
    for (one, other), values in report.differences().items():
        found = interval(values)
        if not found.n:
            continue
        seeds = f" ({found.n} of {found.n + found.missing} seeds)" if found.missing else ""
        said = limits(found, signed=True, unit=" points")
        lines.append(f"average, {one} − {other}: {said}{seeds}: {_WORDS[verdict(found)]}")
    return lines
