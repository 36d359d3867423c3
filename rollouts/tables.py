"""Results as tables on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .names import CLASS_ACCURACIES, COSTS, COUNTS, OF_THE_HONEST, human, is_fraction
from .report import GAINS
from .stats import Interval, interval

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .catalogue import Rows
    from .doctor import Check
    from .report import Report

_LISTED = {"envs": "worlds", "policies": "policies", "scenarios": "scenarios", "data": "data sets"}
TRANSDUCTIVE = "† transductive: the exam's inputs shape more than the answers to it"
"""The note below a table in which something is marked so."""


def marked(name: str, transductive: bool) -> str:
    """A name, with the sign of :data:`TRANSDUCTIVE` where it is due."""
    return f"{name}†" if transductive else name


def spread(found: Interval | None, *, percent: bool = True, signed: bool = False, digits: int = 2) -> str:
    """A mean and its 95 % interval, e.g. ``"91.93 ± 0.61"``; of two seeds their range; "–" of none or of NaN."""
    if found is None or math.isnan(found.mean):
        return "–"
    scale = 100 if percent else 1
    sign = "+" if signed else ""
    if found.n == 2 and not math.isnan(found.low):
        digits = min(digits, 1) if percent else digits
        low, high = (f"{scale * end:{sign},.{digits}f}" for end in (found.low, found.high))
        reach = "" if low == high else f" ({low}–{high})"
    else:
        reach = "" if found.n < 2 else f" ± {scale * found.half:,.{digits}f}"
    return f"{scale * found.mean:{sign},.{digits}f}{reach}"


def measured(report: Report, mode: str, metric: str) -> str:
    """A metric of a report as text."""
    digits = 0 if metric in COUNTS else 2
    return spread(report.interval(mode, metric), percent=is_fraction(metric), digits=digits)


def listing(kind: str, rows: Rows) -> Table:
    """Rows of the catalogue."""
    table = Table("id", "", title=_LISTED[kind], box=SIMPLE_HEAD, title_justify="left")
    signs = [kind == "policies" and _transductive(row["entry_point"]) for row in rows]
    for row, sign in zip(rows, signs, strict=True):
        table.add_row(marked(row["id"], sign), row["summary"])
    table.columns[0].no_wrap = True
    _note(table, signs)
    return table


def _transductive(entry_point: str) -> bool:
    """Whether the policies that a class makes are transductive."""
    module, attribute = entry_point.split(":")
    return getattr(getattr(import_module(module), attribute), "transductive", False)


def _note(table: Table, signs: Iterable[bool]) -> None:
    """Explain the sign below a table that shows it."""
    if any(signs):
        table.caption, table.caption_justify = TRANSDUCTIVE, "left"


def result(report: Report) -> Group:
    """Everything a run measured, one column per mode; below it what peers were worth, and a legend."""
    verdicts = [Text(line) for line in _verdicts(report)]
    return Group(_measured(report), *verdicts, *(Text(line, style="dim") for line in _legend(report)))


def _measured(report: Report) -> Table:
    count = len(report.seeds)
    seeds = f"mean {'(min–max)' if count == 2 else '± 95 %'} over {count} seeds"
    if count == 1:
        seeds = f"seed {report.seeds[0]}"
    steps = report.steps[-1] if report.steps else 0
    table = Table(
        title=f"{marked(report.scenario.name, report.transductive)} · {steps:,} steps · {seeds}",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("")
    for mode in report.modes:
        table.add_column(mode, justify="right")
    has = set(report.metrics["open"])
    _section(table, "test accuracy, %", _students(report))
    _section(table, None, _rows(report, [m for m in (*CLASS_ACCURACIES, *OF_THE_HONEST) if m in has]))
    with_dropout = [f"{m}_dropout" for m in CLASS_ACCURACIES] + ["dropout_vote"]
    names = {f"{m}_dropout": name for m, name in CLASS_ACCURACIES.items()}
    _section(table, "dropout left on, %", _rows(report, [m for m in with_dropout if m in has], names))
    for step in report.scenario.measure_at:
        names = {f"{m}@{step}": name for m, name in CLASS_ACCURACIES.items()}
        _section(table, f"at step {step:,}, %", _rows(report, [m for m in names if m in has], names))
    _section(table, "cost and return", _rows(report, [m for m in COSTS if m in has]))
    if report.scenario.controls:
        rows = []
        for metric in GAINS:
            gains = {mode: interval(v) for mode, v in report.social_gain(metric).items()}
            if gains:
                cells = [spread(gains.get(mode), signed=True) for mode in report.modes[1:]]
                rows.append((human(metric), "", *cells))
        _section(table, "social gain, points", rows)
    return table


_MEANINGS = {
    "title": "title holder: the student that was last best",
    "hard_vote": "hard vote: most votes; soft vote: the highest sum of probabilities",
    "dropout_vote": "dropout left on: as when learning; dropout vote: N such draws of one student",
    "honest": "mean of the honest: test accuracy of the agents that do not lie",
    "expert": "honest, own/others' classes: on test items of the classes they are dealt or not",
    "return": "return: rewards in all, mean over agents: progress × reward_scale, less prices",
}
"""What rows mean, by a metric that is measured where they are there."""


def _legend(report: Report) -> list[str]:
    """What the rows that are there mean, in lines that fit 80 columns."""
    has = report.metrics["open"]
    lines = [line for metric, line in _MEANINGS.items() if metric in has]
    if has and len(report.seeds) > 2:
        lines.insert(0, "±: the 95 % interval over seeds")
    if report.scenario.controls:
        lines.append("social gain: open − control")
    if "isolated" in report.modes:
        lines[-1] += "; isolated: each asks from its own share of the calls"
    return [*lines, TRANSDUCTIVE] if report.transductive else lines


def _verdicts(report: Report) -> list[str]:
    """What talking to each other was worth for the mean (honest) student, in a line a control."""
    lines = []
    whose = "honest" if "honest" in report.metrics["open"] else "mean"
    for mode, values in report.social_gain(whose).items():
        gain = interval(values)
        if gain.n < 2 or math.isnan(gain.mean):
            continue
        verdict = "no difference within the 95 % interval"
        if abs(gain.mean) > gain.half:
            verdict = "a gain" if gain.mean > 0 else "a loss"
        who = "the class against students each on its own" if mode == "isolated" else f"peers against {mode}"
        lines.append(f"{who}: {spread(gain, signed=True)} points: {verdict}")
    return lines


def _students(report: Report) -> list[tuple[str, ...]]:
    rows = []
    for student in range(len(next(iter(report.students.get("open", [])), []))):
        cells = [interval([seed[student] for seed in report.students[mode]]) for mode in report.modes]
        rows.append((f"student {student}", *(spread(cell) for cell in cells)))
    return rows


def _rows(
    report: Report, metrics: list[str], names: Mapping[str, str] | None = None
) -> list[tuple[str, ...]]:
    names = names or {}
    return [
        (names.get(metric, human(metric)), *(measured(report, mode, metric) for mode in report.modes))
        for metric in metrics
    ]


def _section(table: Table, title: str | None, rows: Iterable[tuple[str, ...]]) -> None:
    rows = list(rows)
    if not rows:
        return
    if title is not None:
        table.add_row(f"[bold]{title}[/bold]")
    for row in rows:
        table.add_row(f"  {row[0]}", *row[1:])
    table.add_section()


def claims(entries: list[dict[str, Any]]) -> Table:
    """Documented beside measured."""
    table = Table(title="documented beside measured, %", box=SIMPLE_HEAD, title_justify="left")
    for name in ("scenario", "metric", "documented", "source", "measured", "within tolerance"):
        table.add_column(name, justify="right" if name in ("documented", "measured") else "left")
    for entry in entries:
        previous = ""
        for claim in entry["claims"]:
            name = marked(entry["name"], _sign(entry)) if entry["name"] != previous else ""
            previous = entry["name"]
            table.add_row(name, *claim_cells(claim))
        if entry["claims"]:
            table.add_section()
    _note(table, (_sign(entry) for entry in entries if entry["claims"]))
    return table


def _sign(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a reproduction was measured with a transductive policy."""
    return entry.get("transductive", False)


def claim_cells(claim: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """Metric, documented, source, measured, verdict."""
    found = None if claim["measured"] is None else as_interval(claim["measured"])
    percent = is_fraction(claim["metric"])
    scale = 100 if percent else 1
    verdict = {True: "✓", False: "✗", None: "–"}[claim["within"]]
    if claim["tolerance"] is not None:
        verdict += f" (± {scale * claim['tolerance']:.1f})"
    return (
        human(claim["metric"]),
        f"{scale * claim['documented']:.2f}",
        claim["source"],
        spread(found, percent=percent),
        verdict,
    )


COMPARED = ("scenario", "mean", "best", "title", "hard vote", "soft vote", "dropout vote", "labels", "KiB")
"""Columns of a comparison; "dropout vote" is one student's dropout samples, voting."""


def comparison(entries: list[dict[str, Any]]) -> Table:
    """One row per scenario and mode: accuracies with dropout off and on, and what they cost."""
    table = Table(title="test accuracy, %: dropout off / dropout on", box=SIMPLE_HEAD, title_justify="left")
    for name in COMPARED:
        first = name == COMPARED[0]
        table.add_column(name, justify="left" if first else "right", no_wrap=first)
    for entry in entries:
        for row in comparison_rows(entry):
            table.add_row(*row)
        table.add_section()
    _note(table, map(_sign, entries))
    return table


def comparison_rows(entry: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Cells of :data:`COMPARED` for the modes of one scenario, and for each step measured."""
    rows = []
    for mode, metrics in entry["summary"].items():
        steps = sorted({int(name.partition("@")[2]) for name in metrics if "@" in name})
        for step in [None, *steps]:
            at = "" if step is None else f"@{step}"
            label = marked(entry["name"], _sign(entry)) + ("" if mode == "open" else f", {mode}")
            cells = [
                "\n".join(_cell(metrics, f"{metric}{dropout}{at}") for dropout in ("", "_dropout"))
                for metric in CLASS_ACCURACIES
            ]
            costs = (_cell(metrics, "labels"), _cell(metrics, "kib")) if step is None else ("", "")
            rows.append(
                (
                    label if step is None else f"  at step {step:,}",
                    *cells,
                    _cell(metrics, f"dropout_vote{at}"),
                    *costs,
                )
            )
    return rows


def _cell(metrics: Mapping[str, Any], metric: str) -> str:
    if metric not in metrics:
        return "–"
    found = as_interval(metrics[metric])
    if not is_fraction(metric):
        return f"{found.mean:,.0f}"
    return spread(found)


def as_interval(found: Mapping[str, Any]) -> Interval:
    """An interval from JSON, where null stands for a figure there is none of; early results tell no range."""
    names = ("mean", "half", "low", "high")
    mean, half, low, high = (math.nan if found.get(name) is None else found[name] for name in names)
    return Interval(mean, half, found["n"], low, high)


def examination(checks: list[Check]) -> Table:
    """The doctor's table."""
    table = Table("", "", "found", "what to do", box=SIMPLE_HEAD)
    for check in checks:
        mark = "[green]✓[/green]" if check.ok else "[red]✗[/red]"
        table.add_row(mark, check.name, escape(check.found), escape(check.advice))
    return table
