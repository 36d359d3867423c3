"""Plots of runs. Figures are drawn without pyplot, so nothing global is touched and no display is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"open": "#1f77b4", "mute": "#ff7f0e", "shuffled": "#2ca02c", "isolated": "#7f7f7f"}


def draw_curve(report: Report, path: Path) -> None:
    """Write a PNG of :func:`plot_curve`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    plot_curve(figure.subplots(), report)
    partial = path.with_name(f".{path.name}.part")
    figure.savefig(partial, format="png")
    os.replace(partial, path)


def plot_curve(axes: Axes, report: Report) -> None:
    """Exam accuracy over steps: per mode the mean over students, with the range over seeds, and the best."""
    for mode, colour in zip(report.modes, _colours(report.modes), strict=True):
        accuracy = 100 * np.asarray(report.curves[mode], dtype=float)  # [points, seeds, N]
        mean = accuracy.mean(-1)
        line: dict[str, Any] = {"color": colour, "linewidth": 1.6, "zorder": 3 if mode == "open" else 2}
        axes.plot(report.steps, mean.mean(-1), label=f"{mode}: mean of students", **line)
        axes.fill_between(report.steps, mean.min(-1), mean.max(-1), color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            report.steps,
            accuracy.max(-1).mean(-1),
            label=f"{mode}: best student",
            **(line | {"linestyle": ":", "linewidth": 1.2}),
        )
    if report.budget_spent_at is not None:
        axes.axvline(report.budget_spent_at, color="#444444", linestyle="--", linewidth=1)
        axes.annotate(
            "teacher's budget spent",
            (report.budget_spent_at, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=8,
            color="#444444",
        )
    seeds = f"{len(report.seeds)} seeds, band: their range" if len(report.seeds) > 1 else "1 seed"
    axes.set(xlabel="step", ylabel="exam accuracy, %", title=f"{report.scenario.name} ({seeds})")
    axes.set_xlim(0, report.steps[-1])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right", framealpha=0.9)


def _colours(modes: list[str]) -> list[str]:
    return [_COLOURS.get(mode, "#9467bd") for mode in modes]
