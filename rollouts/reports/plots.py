"""Plots of runs. Figures are drawn without pyplot, so nothing global is touched and no display is needed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...envs.engine.drawing import plain_style
from ...envs.errors import plural
from ...envs.files import whole_file
from ..metrics.names import human, is_fraction
from .report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"open": "#1f77b4", "mute": "#ff7f0e", "shuffled": "#2ca02c", "isolated": "#7f7f7f"}
_GAP = 12  # pixels between two pictures
FEW_POINTS = 20
"""Points of a curve that are marked one by one: of a single one there is no line."""


class Picture(Figure):
    """A figure without pyplot that notebooks show.

    Args:
        width: In inches.
        height: In inches.
    """

    def __init__(self, width: float = 8, height: float = 4.5) -> None:
        super().__init__(figsize=(width, height), dpi=120, layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with plain_style():
            self.savefig(buffer, format="png")
        return buffer.getvalue()


@contextmanager
def picture_file(path: Path, rows: int = 1) -> Iterator[list[Axes]]:
    """Axes, one above the other, of a picture that is written as PNG when the block ends, whole or not at all."""
    with plain_style(), whole_file(path) as file:
        figure = Picture()
        yield list(figure.subplots(rows, sharex=True, squeeze=False)[:, 0])
        figure.savefig(file, format="png")


def curve_figure(report: Report) -> Picture:
    """The picture of :func:`plot_curve`."""
    with plain_style():
        figure = Picture()
        plot_curve(figure.subplots(), report)
    return figure


def draw_curve(report: Report, path: Path) -> None:
    """Write a PNG of :func:`plot_curve`."""
    with picture_file(path) as (axes,):
        plot_curve(axes, report)


def draw_pictures(pictures: Sequence[np.ndarray], path: Path) -> None:
    """Write pictures of a world, uint8 ``[H, W, 3]``, one below the other as one PNG."""
    from matplotlib.image import imsave

    width = max(picture.shape[1] for picture in pictures)
    rows = [
        np.pad(picture, ((0, _GAP), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
        for picture in pictures
    ]
    with plain_style(), whole_file(path) as file:
        imsave(file, np.concatenate(rows)[:-_GAP], format="png")


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
    marker = "." if len(report.steps) < FEW_POINTS else None
    for mode, colour in zip(report.modes, _colours(report.modes), strict=True):
        values = (100 if percent else 1) * np.asarray(report.curves[mode], dtype=float)  # [points, seeds, N]
        mean = values.mean(-1)
        line: dict[str, Any] = {"color": colour, "linewidth": 1.6, "zorder": 3 if mode == "open" else 2}
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
            fontsize=8,
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
    axes.grid(alpha=0.3)
    if not percent and _spans_decades(report):
        axes.set_yscale("log")
    axes.legend(fontsize=8, loc="lower right" if percent else "best", framealpha=0.9)


def _spans_decades(report: Report) -> bool:
    """Whether the curves are of values that are never negative and fall or rise by more than three decades."""
    means = np.concatenate([np.asarray(report.curves[m], dtype=float).mean((1, 2)) for m in report.modes])
    positive = means[means > 0]
    return bool((means >= 0).all() and positive.size and positive.max() > 1e3 * positive.min())


def _colours(modes: list[str]) -> list[str]:
    return [_COLOURS.get(mode, "#9467bd") for mode in modes]
