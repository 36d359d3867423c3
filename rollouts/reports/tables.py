"""Results as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..metrics.names import (
    CLASS_ACCURACIES,
    COSTS,
    COSTS_ELSEWHERE,
    EXAM,
    OF_TASKS,
    OF_THE_HONEST,
    TESTED,
    human,
    is_fraction,
)
from .cells import TRANSDUCTIVE, marked, measured, style
from .figures import spread
from .parts import LEGEND, parts_compared, parts_table
from .stats import interval
from .verdicts import divergences, gaps, worth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .report import Report


def result(report: Report) -> Group:
    """Everything a run measured, one column per mode; below it what peers were worth, and a legend."""
    tables = [_of_class(report) if report.headline == EXAM else _of_world(report)]
    if report.parts:
        tables.append(parts_table(report))
    verdicts = [
        *(Text(line, style="red") for line in divergences(report)),
        *map(Text, parts_compared(report)),
    ]
    verdicts += map(Text, worth(report))
    return Group(
        Text(_title(report)), *tables, *verdicts, *(Text(line, style="dim") for line in _legend(report))
    )


def _title(report: Report) -> str:
    """What was run. A line of its own: a table's title would be no wider than the table."""
    count = len(report.seeds)
    seeds = f"seed {report.seeds[0]}" if count == 1 else f"mean ± 95 % interval over {count} seeds"
    steps = report.steps[-1] if report.steps else 0
    return f"{marked(report.scenario.name, report.transductive)} · {steps:,} steps · {seeds}"


def _table(*columns: str) -> Table:
    """An empty table with these columns behind the names of the rows."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _of_class(report: Report) -> Table:
    """What a class knows, by mode."""
    table = _table(*report.modes)
    has = set(report.metrics["open"])
    _section(table, "test accuracy, %", _students(report))
    names = {} if "honest" in has else {m: human(m).removeprefix("honest, ") for m in OF_THE_HONEST}
    _section(table, None, _rows(report, [m for m in (*CLASS_ACCURACIES, *OF_THE_HONEST) if m in has], names))
    with_dropout = [f"{m}_dropout" for m in CLASS_ACCURACIES] + ["dropout_vote"]
    names = {f"{m}_dropout": human(m, noun=report.noun) for m in CLASS_ACCURACIES}
    _section(table, "dropout left on, %", _rows(report, [m for m in with_dropout if m in has], names))
    for step in report.scenario.measure_at:
        names = {f"{m}@{step}": human(m, noun=report.noun) for m in CLASS_ACCURACIES}
        _section(table, f"at step {step:,}, %", _rows(report, [m for m in names if m in has], names))
    names = {m: name.removesuffix(", exam").removeprefix("exam, ") for m, name in OF_TASKS.items()}
    exam = (
        "exam by task, %" if "final_accuracy" in has else "exam, own classes, %"
    )  # of a society without tasks
    _section(table, exam, _rows(report, [m for m in OF_TASKS if m in has], names))
    _section(table, "cost and return", _rows(report, [m for m in COSTS if m in has]))
    if report.scenario.controls:
        rows = []
        for metric in report.gains:
            gains = {mode: interval(v) for mode, v in report.social_gain(metric).items()}
            cells = [spread(gains[mode], signed=True) for mode in report.modes[1:]]
            rows.append((human(metric, noun=report.noun), "", *cells))
        _section(table, "social gain, points", rows)
    return table


def _of_world(report: Report) -> Table:
    """The metrics of any other world, by mode, and what was different under the controls, seed by seed."""
    differences = [f"open − {mode}" for mode in report.scenario.controls]
    table = _table(*report.modes, *differences)
    has = [metric for metric in report.metrics["open"] if "@" not in metric]
    tested = [m for m in TESTED if m in has] if "soft_vote_accuracy" in has else []
    _section(table, "test accuracy, %", [(TESTED[m], *_metric_row(report, m)[1:]) for m in tested])
    own = sorted(
        (m for m in has if m not in (*COSTS_ELSEWHERE, *tested)), key=lambda m: m != report.headline
    )  # the headline first
    exam = "the last exam, and the slices" if tested else None
    _section(table, exam, [_metric_row(report, metric) for metric in own])
    for step in report.scenario.measure_at:
        there = [f"{m}@{step}" for m in (*tested, *own) if f"{m}@{step}" in report.metrics["open"]]
        _section(table, f"at step {step:,}", [_metric_row(report, metric) for metric in there])
    costs = [_metric_row(report, metric) for metric in COSTS_ELSEWHERE if metric in has]
    _section(table, "cost and return", costs)
    return table


def _metric_row(report: Report, metric: str) -> tuple[str, ...]:
    """A metric by mode, then the differences."""
    name = human(metric.partition("@")[0], report.headline, report.noun)
    unit = ", %" if is_fraction(metric, report.headline) else ""
    modes = [measured(report, mode, metric) for mode in report.modes]
    differences = report.social_gain(metric).values()
    how = style(metric, report.headline)
    return (name + unit, *modes, *(spread(interval(own), signed=True, **how) for own in differences))


_MEANINGS = {
    "title": "title holder: the {agent} that was last best",
    "hard_vote": "hard vote: most votes; soft vote: the highest sum of probabilities",
    "dropout_vote": "dropout left on: as when learning; dropout vote: N such draws of one {agent}",
    "honest": "mean of the honest: test accuracy of the agents that do not lie",
    "expert": "honest, own/others' classes: on test items of the classes they are dealt or not",
    "final_accuracy": "exam by task: ACC, BWT, FWT; forgetting: the best on a task, less the end",
    "return": "return: rewards in all, mean over agents: progress × reward_scale, less prices",
}
"""What rows of a class mean, by a metric that is measured where they are there."""


_FORGETTING = "forgetting: the best on one's own classes so far, less that in the end"
"""What it is in a society whose classes are there all the time."""


def _legend(report: Report) -> list[str]:
    """What the rows that are there mean, in lines that fit 80 columns."""
    has, of_class = report.metrics["open"], report.headline == EXAM
    lines = [line for metric, line in _MEANINGS.items() if metric in has] if of_class else []
    if of_class and "forgetting" in has and "final_accuracy" not in has:
        lines.insert(-1, _FORGETTING)
    lines = [line.replace("{agent}", report.noun) for line in lines]
    if "honest" not in has:
        lines = [line.removeprefix("honest, ") for line in lines]
    lines += LEGEND if report.parts else ()
    if has and len(report.seeds) > 1:
        lines.insert(0, "±: 95 % interval of the mean over seeds, by Student's t")
    lines[:0] = gaps(report)
    if not of_class:
        lines.append("means over agents, where each has a figure of its own; return: rewards in all")
    if "together_accuracy" in has:
        lines.append("the collective: on test items as the policy mixes, on the exam as the world does")
    if "topographic_similarity" in has:
        lines.append("similarity, entropy, posdis, bosdis: of the names of all objects, in any mode")
    if report.scenario.controls:
        lines.append("social gain: open − control" if of_class else "open − control: seed by seed")
    if of_class and "isolated" in report.modes:
        lines[-1] += "; isolated: each asks from its own share of the calls"
    if report.decisions:
        lines.append("what the policy decided, and why: decisions in the report")
    return [*lines, TRANSDUCTIVE] if report.transductive else lines


def _students(report: Report) -> list[tuple[str, ...]]:
    rows = []
    for student in range(len(next(iter(report.students.get("open", [])), []))):
        cells = [interval([seed[student] for seed in report.students[mode]]) for mode in report.modes]
        rows.append((f"{report.noun} {student}", *(spread(cell) for cell in cells)))
    return rows


def _rows(
    report: Report, metrics: list[str], names: Mapping[str, str] | None = None
) -> list[tuple[str, ...]]:
    names = names or {}
    return [
        (
            names.get(metric, human(metric, noun=report.noun)),
            *(measured(report, mode, metric) for mode in report.modes),
        )
        for metric in metrics
    ]


def _section(table: Table, title: str | None, rows: Iterable[tuple[str, ...]]) -> None:
    rows = list(rows)
    if not rows:
        return
    if title is not None:
        table.add_row(Text(title, style="bold"))
    for row in rows:
        table.add_row(f"  {row[0]}", *row[1:])
    table.add_section()
