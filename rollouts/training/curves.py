"""The curves of a training, written on the way and whole again when it goes on.

=================  =====================================================================================
``metrics.jsonl``  a line of JSON an evaluation: ``timesteps`` (and ``updates``), ``seconds``, ``eval/…``, the figure
                   of held-out worlds, and what training says of itself (``train/…``, ``rollout/…``)
``metrics.csv``    the same as a table
``curve.png``      the figure of held-out worlds and, below, the smoothed reward or loss in training
``tensorboard/``   events: the same, and up to 20 times between two evaluations what training says
=================  =====================================================================================

The rows are part of the checkpoint, from which the file is written anew: whatever killed a training, it holds the whole
curve up to the last evaluation, and no row twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ...envs.engine.drawing import RED, SMALL, Picture, marks_of, style
from ...envs.files import unwritable
from ..reports.loggers import Logs
from ..storage.text import as_csv, as_json, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

    from .trained import Trained

Row = dict[str, float]

_DRAWN_EVERY = 10.0  # seconds, for drawing takes some tenths of one; at the end it is drawn anyway


class Curves:
    """Use it in a ``with`` statement, at whose end the picture is drawn.

    Args:
        found: What comes of the training; says where, and by what it is judged. Its ``curve`` is what is written.
        title: Of the picture.
        train_figure: Name of the figure of training that is drawn, e.g. "train/loss".
        done: What was done before, in the unit of the events; later events of a killed process are hidden.
        logs: Loggers that are told the same; of a training that goes on they are told its curve first.

    Raises:
        ConfigError: A file cannot be written; names it.
    """

    def __init__(self, found: Trained, *, title: str, train_figure: str, done: int, logs: Logs) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second

        self._found, self._title, self._train_figure, self._logs = found, title, train_figure, logs
        self._drawn = time.monotonic()
        self._folder = found.folder / "tensorboard"
        try:
            self._events = SummaryWriter(str(self._folder), purge_step=done + 1 if done else None)
        except OSError as fault:
            raise self._unwritable(fault) from fault
        counted = "timesteps" if found.per_update is None else "updates"
        for row in found.curve:
            logs.tell(int(row[counted]), {name: value for name, value in row.items() if name != counted})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.close()
        if kind is None and self._found.curve:
            self._draw()

    def event(self, done: int, figures: Mapping[str, float]) -> None:
        """Write events of what is done by now."""
        try:
            for name, value in figures.items():
                self._events.add_scalar(name, value, done)
        except OSError as fault:
            raise self._unwritable(fault) from fault
        self._logs.tell(done, figures)

    def write(self) -> None:
        """Write what there is of the curve, and draw it now and then; nothing before there is a point."""
        if not self._found.curve:
            return
        lines = "".join(as_json(row) + "\n" for row in self._found.curve)
        write_text(self._found.folder / "metrics.jsonl", lines)
        write_text(self._found.folder / "metrics.csv", as_csv(self._found.curve))
        if time.monotonic() - self._drawn >= _DRAWN_EVERY:
            self._draw()

    def _draw(self) -> None:
        draw_training(self._found, self._title, self._train_figure, self._found.folder / "curve.png")
        self._drawn = time.monotonic()

    def _unwritable(self, fault: OSError) -> Exception:
        """The error of TensorBoard, whose own names no file."""
        return unwritable(fault.filename or str(self._folder), fault)


def draw_training(found: Trained, title: str, train_figure: str, path: Path) -> None:
    """Write a PNG of a training's curve.

    Args:
        found: What came of it; ``curve`` is drawn, and the best is marked.
        title: Of the picture.
        train_figure: Name of the figure of training below.
        path: Of the picture.
    """
    per = found.per_update or 1
    at = [row["timesteps"] / per for row in found.curve]
    below = f"{train_figure.partition('/')[2]} in training"
    with style():
        picture = Picture((8.0,), (2.3, 2.3), left=1.0, below=(0.3, 0.6))
        (held_out,), (training,) = picture.panels
        _plot(held_out, at, [row[f"eval/{found.figure}"] for row in found.curve], found.measure)
        _plot(training, at, [row.get(train_figure, math.nan) for row in found.curve], below)
        where, best = found.best
        if not math.isnan(best):
            held_out.plot([where / per], [best], marker="o", color=RED, linestyle="", label="best")
            held_out.legend(loc="best")
        held_out.set_title(title)
        held_out.sharex(training)
        training.set_xlabel("agent-steps" if found.per_update is None else "updates")
    picture.write(path)


def _plot(axes: Axes, at: list[float], values: list[float], label: str) -> None:
    axes.plot(at, values, marker=marks_of(len(at)))
    axes.set_ylabel(label, fontsize=SMALL)
    axes.grid()
