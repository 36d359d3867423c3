"""Curves of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...envs.engine.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, Picture, marks_of, style
from ...envs.errors import plural
from ..metrics.names import human, is_fraction
from .report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"open": BLUE, "mute": ORANGE, "shuffled": GREEN, "isolated": GREY}


def curve_figure(report: Report) -> Picture:
    """The picture of :func:`plot_curve`."""
    with style():
        picture = Picture((8.0,), (4.2,), left=0.9)
        plot_curve(picture.panels[0][0], report)
    return picture


def draw_curve(report: Report, path: Path) -> None:
    """Write a PNG of :func:`plot_curve`."""
    curve_figure(report).write(path)


def _of_the_world(curve: Sequence[Any]) -> bool:
    """Whether a headline ``[points][seeds][N]`` is the world's own, the same for all its several agents."""
    values = np.asarray(curve, dtype=float)
    return values.shape[-1] > 1 and bool((values == values[..., :1]).all())


def plot_curve(axes: Axes, report: Report) -> None:
    """The headline over steps: per mode the mean over agents, with the range over seeds; of accuracies the best too."""
    headline = report.headline
    agent = report.noun
    percent = is_fraction(headline, headline)
    shared = all(_of_the_world(report.curves[mode]) for mode in report.modes)
    marker = marks_of(len(report.steps))
    for mode, colour in zip(report.modes, _colours(report.modes), strict=True):
        values = (100 if percent else 1) * np.asarray(report.curves[mode], dtype=float)  # [points, seeds, N]
        mean = values.mean(-1)
        line: dict[str, Any] = {"color": colour, "zorder": 3 if mode == "open" else 2}
        axes.plot(
            report.steps,
            mean.mean(-1),
            label=mode if shared else f"{mode}: mean of {plural(agent)}",
            marker=marker,
            **line,
        )
        axes.fill_between(report.steps, mean.min(-1), mean.max(-1), color=colour, alpha=0.2, linewidth=0)
        if percent and not shared:
            axes.plot(
                report.steps,
                values.max(-1).mean(-1),
                label=f"{mode}: best {agent}",
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
            fontsize=10,
            color="#444444",
        )
    seeds = f"{len(report.seeds)} seeds, band: their range" if len(report.seeds) > 1 else "1 seed"
    axes.set(
        xlabel="step",
        ylabel=human(headline, headline, agent) + (", %" if percent else ""),
        title=f"{report.scenario.name} ({seeds})",
    )
    axes.set_xlim(0, report.steps[-1])
    axes.locator_params(axis="x", integer=True)
    axes.grid()
    if not percent and _spans_decades(report):
        axes.set_yscale("log")
    axes.legend(loc="lower right" if percent else "best")


def _spans_decades(report: Report) -> bool:
    """Whether the curves are of values that are never negative and fall or rise by more than three decades."""
    means = np.concatenate([np.asarray(report.curves[m], dtype=float).mean((1, 2)) for m in report.modes])
    positive = means[means > 0]
    return bool((means >= 0).all() and positive.size and positive.max() > 1e3 * positive.min())


def _colours(modes: list[str]) -> list[str]:
    return [_COLOURS.get(mode, PURPLE) for mode in modes]
