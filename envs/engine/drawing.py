"""One style for every picture: panels at fixed places, text to be read on a slide, a scale beside each colour.

A :class:`Picture` is laid out in inches, from the sizes of its panels and the room that their labels take, so that it
is drawn once; matplotlib's own layouts draw it several times to measure it. Nothing of pyplot is touched, no display is
needed, and what a matplotlibrc of the folder or the user says changes nothing. A world's pictures are all of one size,
of an even number of pixels, so that they make a film.

Everything is drawn within :func:`style`; :meth:`World.render <studyhall.envs.engine.world.World.render>` sees to that
for the pictures of worlds.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib import rc_context, rcdefaults
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ..files import whole_file
from .state import TensorDict

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, RED, TEAL, GREY = "#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#a0a0a0"
PURPLE, BROWN, PINK, YELLOW = "#9467bd", "#9d755d", "#ff9da6", "#eeca3b"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, TEAL, YELLOW, GREY)
"""Colours of curves, in this order."""

PER_INCH = 100  # pixels
SIZE, SMALL = 12, 10
"""Points of text, and of numbers within a panel: 17 and 14 pixels."""

SHADES = "viridis"
"""The colours of numbers."""

_STYLE: dict[Any, Any] = {
    "figure.dpi": PER_INCH,
    "savefig.dpi": PER_INCH,
    "font.size": SIZE,
    "axes.titlesize": SIZE,
    "axes.labelsize": SIZE,
    "axes.titley": 1.0,  # titles are not moved out of the way of ticks, which takes as long as drawing these
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.framealpha": 0.9,
    "lines.linewidth": 1.8,
    "grid.alpha": 0.3,
    "image.cmap": SHADES,
}
_LINE = SIZE * 1.5 / 72  # inches that a line of text is high
_SMALL_LINE = SMALL * 1.35 / 72
_GAP = 12  # pixels between two pictures, one below the other
_COMPRESSION = 2  # of PNG files: pictures are flat, and more takes longer than drawing them


class Drawn(Protocol):
    """What every picture asks of the world that it draws."""

    num_agents: int
    agents: list[str]
    horizon: int

    def summary(self, state: TensorDict) -> TensorDict:
        """See :meth:`World.summary <studyhall.envs.engine.world.World.summary>`."""


@contextmanager
def style() -> Iterator[None]:
    """Within it, matplotlib draws as everything here is drawn; afterwards its settings are as they were."""
    from cycler import cycler

    with rc_context():
        rcdefaults()
        with rc_context(_STYLE | {"axes.prop_cycle": cycler(color=PALETTE)}):
            yield


def room(texts: Sequence[str], size: float = SMALL) -> float:
    """Inches that the longest of some labels takes beside its axis."""
    return 0.2 + max(map(len, texts), default=0) * size * 0.62 / 72


class Picture(Figure):
    """Panels in rows and columns, at fixed places; notebooks show it. Measures are in inches, those of rooms one each.

    Args:
        widths: Of the columns.
        heights: Of the rows.
        left: Room left of the columns, for labels of their axes: one number for all, or one each.
        right: Room right of them, 0.95 for a scale.
        above: Room above the rows, for titles.
        below: Room below them, for labels of their axes.
        title: The line on top, if any.

    Attributes:
        panels: Their axes, by row and column.
    """

    def __init__(
        self,
        widths: Sequence[float],
        heights: Sequence[float],
        *,
        left: float | Sequence[float] = 0.6,
        right: float | Sequence[float] = 0.2,
        above: float | Sequence[float] = 0.4,
        below: float | Sequence[float] = 0.6,
        title: str = "",
    ) -> None:
        lefts, rights = _each(left, widths), _each(right, widths)
        tops, bottoms = _each(above, heights), _each(below, heights)
        head = 1.6 * _LINE if title else 0.0
        width = sum(widths) + sum(lefts) + sum(rights)
        height = sum(heights) + sum(tops) + sum(bottoms) + head
        width, height = (math.ceil(inches * PER_INCH / 2) * 2 / PER_INCH for inches in (width, height))
        super().__init__(figsize=(width, height), dpi=PER_INCH)  # even numbers of pixels, as films need them
        FigureCanvasAgg(self)
        if title:
            self.text(0.5, 1 - _LINE / height, title, ha="center", va="center", fontsize=SIZE + 2)
        self.panels: list[list[Axes]] = []
        y = height - head
        for high, top, bottom in zip(heights, tops, bottoms, strict=True):
            y -= top + high
            x, row = 0.0, []
            for wide, before, after in zip(widths, lefts, rights, strict=True):
                x += before
                row.append(self.add_axes((x / width, y / height, wide / width, high / height)))
                x += wide + after
            self.panels.append(row)
            y -= bottom

    def pixels(self) -> np.ndarray:
        """What it looks like, uint8 ``[H, W, 3]``."""
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]

    def write(self, path: Path) -> None:
        """Write it as PNG, whole or not at all."""
        with style():
            write_pictures([self.pixels()], path)

    def _repr_png_(self) -> bytes:
        with style():
            return as_png(self.pixels())


def as_png(picture: np.ndarray) -> bytes:
    """A picture, uint8 ``[H, W, 3]``, as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()


def from_png(content: bytes) -> np.ndarray:
    """The picture, uint8 ``[H, W, 3]``, in the content of a PNG file that :func:`as_png` made."""
    return np.asarray(Image.open(io.BytesIO(content)))


def write_pictures(pictures: Sequence[np.ndarray], path: Path) -> None:
    """Write :func:`stacked` pictures as one PNG, whole or not at all."""
    with whole_file(path) as file:
        file.write(as_png(stacked(pictures)))


def stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures, uint8 ``[H, W, 3]``, one below the other as one."""
    width = max(picture.shape[1] for picture in pictures)
    rows = [
        np.pad(picture, ((0, _GAP), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
        for picture in pictures
    ]
    return np.concatenate(rows)[:-_GAP]


def _each(value: float | Sequence[float], of: Sequence[float]) -> Sequence[float]:
    return value if isinstance(value, Sequence) else [value] * len(of)


# ---- what pictures are made of --------------------------------------------------------------------------


def head_of(world: Drawn, state: TensorDict, w: int, *more: str, unit: str = "step") -> str:
    """The line on top of a world's picture: how far it is, and what else there is to say."""
    return "     ".join([f"{unit} {int(state['clock'][w])}/{world.horizon}", *more])


def text_bar(share: float) -> str:
    """A share in [0, 1] as a bar of twenty characters, for pictures in text."""
    filled = round(share * 20)
    return "█" * filled + "░" * (20 - filled)


def height_of(rows: int, least: float = 3.0, most: float = 6.0) -> float:
    """Inches of a panel of so many rows, all of them to be read where there are not too many."""
    return min(most, max(least, rows * _SMALL_LINE * 1.4))


def name_rows(axes: Axes, names: Sequence[str], colours: Sequence[str] | None = None) -> bool:
    """Name the rows 0, 1, … of a panel from the top down, as many as can be read; whether these are all.

    Args:
        axes: The panel.
        names: Of the rows.
        colours: Of the names; black where not given.
    """
    every = -(-len(names) * _SMALL_LINE // _inches(axes)[1])
    shown = range(0, len(names), max(1, int(every)))
    axes.set_yticks(shown, [names[i] for i in shown])
    for i, label in zip(shown, axes.get_yticklabels() if colours else (), strict=False):
        label.set_color(colours[i])  # type: ignore[index]
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    return every <= 1


def bars(
    axes: Axes,
    names: Sequence[str],
    values: np.ndarray,
    *,
    limits: tuple[float, float] = (0, 1),
    form: str = "{:.0%}",
    colour: Any = BLUE,
) -> None:
    """A bar a row, with its number right of the panel (0.6 inches) where all can be read.

    Args:
        axes: The panel.
        names: Of the rows.
        values: ``[rows]``.
        limits: Of the axis.
        form: Of the numbers.
        colour: One, or one each.
    """
    values = np.asarray(values, dtype=float)
    start = min(max(0.0, limits[0]), limits[1])
    axes.barh(np.arange(len(values)), values - start, left=start, height=0.7, color=colour)
    axes.set_xlim(*limits)
    axes.locator_params(axis="x", nbins=4)
    if name_rows(axes, names):
        for row, value in enumerate(values):
            told, right = form.format(value), axes.get_yaxis_transform()
            axes.text(1.02, row, told, transform=right, va="center", fontsize=SMALL)


def legend_below(axes: Axes) -> None:
    """What the colours of bars mean, below the panel's ticks, where no bar is."""
    count = len(axes.get_legend_handles_labels()[1])
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=2.0,
        ncols=count,
        frameon=False,
        fontsize=SMALL,
    )


def heat(axes: Axes, values: np.ndarray, label: str, **how: Any) -> None:
    """Numbers ``[rows, columns]`` as colours, with their scale.

    Args:
        axes: The panel.
        values: NaN where there is none.
        label: Of the scale.
        **how: As of ``imshow``; from 0 to 1 where nothing is said.
    """
    scale(axes, axes.imshow(values, **{"vmin": 0, "vmax": 1, "aspect": "auto", **how}), label)


def scale(axes: Axes, coloured: Any, label: str) -> None:
    """The scale of a panel's colours, in the room right of it (0.95 inches)."""
    figure = axes.figure
    wide, _ = figure.get_size_inches()  # type: ignore[union-attr]
    axes.apply_aspect()
    place = axes.get_position()
    beside = figure.add_axes((place.x1 + 0.1 / wide, place.y0, 0.14 / wide, place.height))  # type: ignore[union-attr]
    figure.colorbar(coloured, cax=beside).set_label(label, fontsize=SMALL)  # type: ignore[union-attr]


def tiles(axes: Axes, pictures: np.ndarray, columns: int = 4, limits: tuple[float, float] = (0, 1)) -> Any:
    """Small pictures in rows, with gaps between them.

    Args:
        axes: The panel.
        pictures: ``[M, H, W]`` grey, or ``[M, H, W, 3]`` in [0, 1].
        columns: How many in a row.
        limits: What is black, and what is white, where they are grey.

    Returns:
        What :func:`scale` takes.
    """
    shown = mosaic(pictures, columns)
    axes.axis("off")
    low, high = limits
    return axes.imshow(shown.clip(low, high), cmap="gray", vmin=low, vmax=high)


def mosaic(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Small pictures as one, with gaps between them.

    Args:
        pictures: ``[M, H, W]`` grey, or ``[M, H, W, 3]`` in [0, 1].
        columns: How many in a row.

    Returns:
        float32 ``[H, W]`` or ``[H, W, 3]``. Gaps are white; of grey pictures they are NaN, which is paper whatever is
        white there.
    """
    shown = np.asarray(pictures, dtype=np.float32)
    gap, paper = max(1, max(shown.shape[1:3]) // 12), 1.0 if shown.ndim == 4 else np.nan
    around = ((0, -len(shown) % columns), (gap, 0), (gap, 0), (0, 0))[: shown.ndim]
    shown = np.pad(shown, around, constant_values=paper)
    shown[len(pictures) :] = paper
    rows = shown.reshape(-1, columns, *shown.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def as_pixels(values: np.ndarray, times: int = 1) -> np.ndarray:
    """Values in [0, 1], ``[H, W]`` or ``[H, W, 3]``, NaN of paper, as uint8 ``[H, W, 3]``, so many times enlarged."""
    shades = (np.nan_to_num(values, nan=1.0).clip(0, 1) * 255).round().astype(np.uint8)
    colours = shades if shades.ndim == 3 else np.repeat(shades[..., None], 3, axis=2)
    return colours.repeat(times, axis=0).repeat(times, axis=1)


def ridges(axes: Axes, values: np.ndarray, limits: tuple[float, float] = (0, 1), colours: Any = BLUE) -> None:
    """Rows of bars, one row above the other.

    Args:
        axes: The panel, whose rows are as high as those of :func:`tiles`.
        values: ``[rows, bars]``.
        limits: From the bottom to the top of a row.
        colours: One, or one a bar, row after row.
    """
    (rows, count), (low, high) = values.shape, limits
    unit = 0.92 / max(high - low, 1e-12)
    base = np.arange(rows)[::-1] - low * unit  # from the top down
    places = np.tile(np.arange(count), rows)
    height = np.clip(values, low, high).ravel() * unit
    axes.bar(places, height, bottom=np.repeat(base, count), color=colours)
    axes.hlines(base, -0.6, count - 0.4, color="black", linewidth=0.8)
    axes.set(xlim=(-0.6, count - 0.4), ylim=(0, rows), yticks=[])


def circle(axes: Axes, count: int) -> np.ndarray:
    """Places of agents on a circle, ``[N, 2]``, the first one on top, and a panel for them without axes."""
    angle = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    axes.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")
    axes.axis("off")
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def arrows(axes: Axes, places: np.ndarray, weights: np.ndarray) -> Artist:
    """Arrows from whom each listens to, dark for a weight of 1.

    Args:
        axes: The panel of :func:`circle`.
        places: ``[N, 2]``.
        weights: Of receiver and sender, ``[N, N]`` in [0, 1]; 0 is no arrow.
    """
    receiver, sender = np.nonzero(weights)
    start, end = places[sender], places[receiver]
    way = end - start
    short = (
        0.13 * way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    )  # up to the rim of a node
    return axes.quiver(
        *(start + short).T,
        *(way - 2 * short).T,
        weights[receiver, sender],
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.006,
        headwidth=5,
        headlength=6,
        cmap="Greys",
        clim=(-0.25, 1),
        alpha=0.8,
    )


def nodes(axes: Axes, places: np.ndarray, values: np.ndarray, **how: Any) -> Artist:
    """Agents as numbered discs, coloured by values in [0, 1]; anything else as of ``scatter``."""
    size = min(420.0, 9000.0 / len(places))
    drawn = axes.scatter(
        places[:, 0], places[:, 1], c=values, s=size, **{"vmin": 0, "vmax": 1, "zorder": 3, **how}
    )
    if len(places) <= 30:
        for agent, (x, y) in enumerate(places):
            dark = not np.isfinite(values[agent]) or values[agent] < 0.6
            colour = "white" if dark else "black"
            axes.text(x, y, str(agent), ha="center", va="center", color=colour, fontsize=SMALL, zorder=4)
    return drawn


def marks_of(count: int) -> str:
    """How points of a curve are marked: one by one where they are few, since of a single one there is no line."""
    return "." if count < 20 else ""


def colours() -> Iterator[str]:
    """The palette, again and again."""
    return itertools.cycle(PALETTE)


def _inches(axes: Axes) -> tuple[float, float]:
    place, (wide, high) = axes.get_position(), axes.figure.get_size_inches()  # type: ignore[union-attr]
    return place.width * wide, place.height * high
