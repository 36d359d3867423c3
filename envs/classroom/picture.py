"""How a classroom looks to a person: a text table, or a picture drawn with matplotlib."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from ..engine.drawing import Drawn, as_pixels, new_figure
from ..engine.state import TensorDict
from ..streams import Dataset

_BAR = 20
_TILES = 16


class ClassroomView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    dataset: Dataset

    def budget_left(self, state: TensorDict) -> Tensor:
        """Fraction of the budget left to each student, ``[W, N]``."""


def as_text(world: ClassroomView, state: TensorDict, w: int) -> str:
    """One line per student: exam accuracy, report card, labels and bytes so far, whom it heard."""
    host = {k: state[k][w].cpu() for k in ("accuracy", "card", "labels", "bits", "present", "fb/heard")}
    clock = int(state["clock"][w])
    budget = float(world.budget_left(state)[w].mean())
    lines = [f"step {clock}/{world.horizon}   teacher's budget left {budget:.0%}"]
    for i, name in enumerate(world.agents):
        accuracy = float(host["accuracy"][i])
        filled = round(accuracy * _BAR)
        heard = "".join("●" if heard else "·" for heard in host["fb/heard"][i].tolist())
        away = "" if bool(host["present"][i]) else "  (absent)"
        lines.append(
            f"{name:<12}{'█' * filled}{'░' * (_BAR - filled)} {accuracy:6.1%}  card {float(host['card'][i]):.2f}"
            f"  labels {int(host['labels'][i]):>7,}  KiB {float(host['bits'][i]) / 8192:>9,.1f}  heard {heard}{away}"
        )
    return "\n".join(lines)


def as_image(world: ClassroomView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: who heard whom on a circle, exam accuracies, budget, and the slice."""
    figure = new_figure(9, 4.5)
    graph, bars, tiles = figure.subplots(1, 3, width_ratios=(1.1, 1, 1))
    _draw_graph(graph, state["fb/heard"][w].cpu().numpy(), state["accuracy"][w].cpu().numpy())
    accuracy = state["accuracy"][w].cpu().numpy()
    bars.barh(world.agents[::-1], accuracy[::-1], color="#4c78a8")
    bars.set(xlim=(0, 1), title="exam accuracy")
    budget = float(world.budget_left(state)[w].mean())
    figure.suptitle(f"step {int(state['clock'][w])}/{world.horizon}    teacher's budget left {budget:.0%}")
    draw_slice(tiles, world.dataset, state, w)
    return as_pixels(figure)


def _draw_graph(axes, heard: np.ndarray, accuracy: np.ndarray) -> None:
    n = len(accuracy)
    angle = 2 * np.pi * np.arange(n) / n
    x, y = np.cos(angle), np.sin(angle)
    for receiver, sender in np.argwhere(heard):
        axes.annotate(
            "",
            xy=(0.88 * x[receiver], 0.88 * y[receiver]),
            xytext=(0.88 * x[sender], 0.88 * y[sender]),
            arrowprops={"arrowstyle": "-|>", "alpha": 0.35, "color": "#777777", "lw": 0.8},
        )
    axes.scatter(x, y, c=accuracy, s=260, cmap="viridis", vmin=0, vmax=1, zorder=3)
    for i in range(n):
        axes.text(x[i], y[i], str(i), ha="center", va="center", color="white", fontsize=8, zorder=4)
    axes.set(title="who heard whom", xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")
    axes.axis("off")


def draw_slice(axes, dataset: Dataset, state: TensorDict, w: int) -> None:
    """Draw the first pictures of the slice, or its rows where they are no pictures."""
    axes.set_title("the slice")
    axes.axis("off")
    shape = dataset.shape
    index = state["stream/slice"][w, 0, :_TILES].clamp_min(0)
    if len(shape) not in (2, 3):  # not a picture: show the rows as they are
        axes.imshow(dataset.inputs("stream", index).flatten(1).cpu().numpy(), aspect="auto")
        return
    pixels = dataset.pixels("stream", index).cpu().numpy()
    if pixels.ndim == 4:
        pixels = pixels.transpose(0, 2, 3, 1)[..., : 3 if shape[0] >= 3 else 1]
        pixels = pixels.repeat(3, axis=-1) if pixels.shape[-1] == 1 else pixels
    side = 4
    blank = np.zeros((side * side - len(pixels), *pixels.shape[1:]), pixels.dtype)
    rows = np.concatenate([pixels, blank]).reshape(side, side, *pixels.shape[1:])
    axes.imshow(np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0), cmap="gray")
