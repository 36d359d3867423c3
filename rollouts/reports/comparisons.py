"""Tables of what a reproduction found: scenarios beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from ..metrics.names import CLASS_ACCURACIES, EXAM, human, is_fraction
from .cells import marked, note, style
from .figures import as_interval, figure, spread

Entry = Mapping[str, Any]
"""What :func:`studyhall.rollouts.runs.reproduce.entry` makes of a run, perhaps read from JSON."""


def comparison(entries: list[dict[str, Any]]) -> Group:
    """Classes beside each other, then the other worlds: one row per scenario and mode, and what it cost."""
    classes = [entry for entry in entries if _headline(entry) == EXAM]
    others = [entry for entry in entries if _headline(entry) != EXAM]
    tables = []
    if classes:
        rows = [comparison_rows(entry) for entry in classes]
        tables.append(_compared("test accuracy, %: dropout off / dropout on", COMPARED, classes, rows))
    if others:
        rows = [other_rows(entry) for entry in others]
        tables.append(_compared("headline; accuracies in %", COMPARED_OTHERS, others, rows))
    return Group(*tables)


def _compared(
    title: str, columns: tuple[str, ...], entries: list[dict[str, Any]], rows: list[list[tuple[str, ...]]]
) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for name in columns:
        first = name == columns[0]
        table.add_column(name, justify="left" if first or name == "metric" else "right", no_wrap=first)
    for section in rows:
        for row in section:
            table.add_row(*row)
        table.add_section()
    note(table, map(_sign, entries))
    return table


COMPARED = ("scenario", "mean", "best", "title", "hard vote", "soft vote", "dropout vote", "labels", "KiB")
"""Columns of a comparison of classes; "dropout vote" is one student's dropout samples, voting."""


def comparison_rows(entry: Entry) -> list[tuple[str, ...]]:
    """Cells of :data:`COMPARED` for the modes of one scenario, and for each step measured."""
    rows = []
    for mode, metrics in entry["summary"].items():
        for step, at in _steps(metrics):
            cells = [
                "\n".join(_cell(metrics, f"{metric}{dropout}{at}") for dropout in ("", "_dropout"))
                for metric in CLASS_ACCURACIES
            ]
            costs = (_cell(metrics, "labels"), _cell(metrics, "kib")) if step is None else ("", "")
            vote = _cell(metrics, f"dropout_vote{at}")
            rows.append((_label(entry, mode, step), *cells, vote, *costs))
    return rows


COMPARED_OTHERS = (
    "scenario",
    "metric",
    "measured",
    "bytes per message",
    "bytes per agent and step",
    "return",
)
"""Columns of a comparison of other worlds; the metric is the world's headline."""


def other_rows(entry: Entry) -> list[tuple[str, ...]]:
    """Cells of :data:`COMPARED_OTHERS` for the modes of one scenario, and for each step measured."""
    headline, rows = _headline(entry), []
    for mode, metrics in entry["summary"].items():
        for step, at in _steps(metrics):
            names = [f"{metric}{at}" for metric in (headline, "message_bytes", "bytes_per_step", "return")]
            cells = [_cell(metrics, name, headline) for name in names]
            rows.append((_label(entry, mode, step), human(headline, headline), *cells))
    return rows


def _steps(metrics: Mapping[str, Any]) -> list[tuple[int | None, str]]:
    """The steps that were measured and what ends the names of their metrics; first the end of the run."""
    steps = sorted({int(name.partition("@")[2]) for name in metrics if "@" in name})
    return [(None, ""), *((step, f"@{step}") for step in steps)]


def _label(entry: Entry, mode: str = "open", step: int | None = None) -> str:
    if step is not None:
        return f"  at step {step:,}"
    return marked(entry["name"], _sign(entry)) + ("" if mode == "open" else f", {mode}")


def _cell(metrics: Mapping[str, Any], metric: str, headline: str = EXAM) -> str:
    if metric not in metrics:
        return "–"
    found = as_interval(metrics[metric])
    if headline == EXAM and not is_fraction(metric):
        return figure(found.mean, 0)
    return spread(found, **style(metric, headline))


def _sign(entry: Entry) -> bool:
    """Whether an entry was measured with a transductive policy."""
    return entry.get("transductive", False)


def _headline(entry: Entry) -> str:
    """The headline of an entry's world; early ones are all of classes."""
    return entry.get("headline", EXAM)
