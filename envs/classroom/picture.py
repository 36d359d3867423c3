"""How a classroom looks to a person: a text table, or a picture."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from ..channel import Channel
from ..engine import drawing
from ..engine.drawing import Drawn
from ..engine.state import TensorDict
from ..hosted.host import Host
from ..streams import Dataset

_TILES = 16
_ENLARGED = 32  # pixels that a small picture is high, at least


class ClassroomView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    dataset: Dataset
    host: Host | None
    channel: Channel

    def budget_left(self, state: TensorDict) -> Tensor:
        """Fraction of the budget left to each student, ``[W, N]``."""


def as_text(world: ClassroomView, state: TensorDict, w: int) -> str:
    """One line per student: exam accuracy, report card, labels and bytes so far, whom it heard."""
    host = {k: state[k][w].cpu() for k in ("accuracy", "card", "labels", "bits", "present")}
    whom = _by_agent(world, state, "fb/heard", w)
    clock = int(state["clock"][w])
    budget = float(world.budget_left(state)[w].mean())
    lines = [f"step {clock}/{world.horizon}   teacher's budget left {budget:.0%}"]
    for i, name in enumerate(world.agents):
        accuracy = float(host["accuracy"][i])
        heard = "".join("●" if heard else "·" for heard in whom[i].tolist())
        away = "" if bool(host["present"][i]) else "  (absent)"
        lines.append(
            f"{name:<12}{drawing.text_bar(accuracy)} {accuracy:6.1%}  card {float(host['card'][i]):.2f}"
            f"  labels {int(host['labels'][i]):>7,}  KiB {float(host['bits'][i]) / 8192:>9,.1f}  heard {heard}{away}"
        )
    return "\n".join(lines)


def as_image(world: ClassroomView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: who heard whom on a circle, exam accuracies, budget, and the slice."""
    high = drawing.height_of(world.num_agents)
    budget = float(world.budget_left(state)[w].mean())
    picture = drawing.Picture(
        (3.2, 3.0, 3.2),
        (high,),
        left=(0.2, drawing.room(world.agents), 0.6),
        right=(0.95, 0.6, 0.2),
        title=drawing.head_of(world, state, w, f"teacher's budget left {budget:.0%}"),
    )
    ((graph, bars, slice_),) = picture.panels
    accuracy = state["accuracy"][w].cpu().numpy()
    draw_listening(graph, world, state, w, accuracy)
    drawing.bars(bars, world.agents, accuracy)
    bars.set(title="exam accuracy")
    draw_slice(slice_, world.dataset, state, w)
    return picture.pixels()


def listening(world: ClassroomView, state: TensorDict, w: int) -> np.ndarray:
    """How much each listens to whom, of receiver and sender ``[N, N]`` in [0, 1]; who heard whom, where nobody knows.

    A world knows how much hosted learners listen. What becomes of a message at one that an agent brings, it does not.
    """
    return _by_agent(world, state, "fb/heard" if world.host is None else "listened", w).float().numpy()


def _by_agent(world: ClassroomView, state: TensorDict, key: str, w: int) -> Tensor:
    """What is kept by slot of receiver and sender, ``[N, N]``, on the host."""
    return world.channel.neighbours(state).by_agent(F.pad(state[key], (1, 0)))[w].cpu()


def draw_listening(
    axes: Any, world: ClassroomView, state: TensorDict, w: int, values: np.ndarray, **how: Any
) -> None:
    """Draw agents on a circle, coloured by accuracies, and arrows to each from those to whom it listens, or heard.

    Args:
        axes: The panel; its scale is right of it.
        world: The world.
        state: Its state.
        w: Which of the batch.
        values: ``[N]`` in [0, 1].
        **how: Of the discs, as of ``scatter``.
    """
    weights, hosted = listening(world, state, w), world.host is not None
    places = drawing.circle(axes, world.num_agents)
    drawing.arrows(axes, places, weights / max(weights.max(), 1e-9) if hosted else 0.4 * weights)
    drawing.scale(axes, drawing.nodes(axes, places, values, **how), "exam accuracy")
    axes.set_title("who listens to whom (dark: more)" if hosted else "who heard whom")


def draw_slice(axes: Any, dataset: Dataset, state: TensorDict, w: int, *, of: str = "stream") -> None:
    """Draw the first pictures of a slice, or its rows where they are no pictures.

    Args:
        axes: The panel.
        dataset: Of the world.
        state: Its state.
        w: Which of the batch.
        of: "stream", or "public".
    """
    axes.set_title("the slice" if of == "stream" else "the public slice")
    pixels = _pixels(dataset, state, w, of)
    if pixels is None:  # show the rows as they are
        rows = dataset.inputs("stream", _shown(state, w, of)).flatten(1).cpu().numpy()
        drawing.heat(axes, rows, "feature", vmin=rows.min(), vmax=rows.max())
        axes.set(xlabel="features", ylabel="samples", yticks=[])
        return
    drawing.tiles(axes, pixels)


def exhibits(dataset: Dataset, state: TensorDict, w: int, private: bool) -> dict[str, np.ndarray]:
    """The first pictures of the slice that comes next, and of the public one, uint8 ``[H, W, 3]``; no other items.

    Args:
        dataset: Of the world.
        state: Its state.
        w: Which of the batch.
        private: Whether slices are each agent's own: the one shown is the first agent's.
    """
    whose = (
        {"the first agent's slice": "stream", "the public slice": "public"}
        if private
        else {"the slice": "stream"}
    )
    found = {caption: _pixels(dataset, state, w, of) for caption, of in whose.items()}
    return {
        caption: drawing.as_pixels(drawing.mosaic(pixels, _TILES // 2), -(-_ENLARGED // pixels.shape[1]))
        for caption, pixels in found.items()
        if pixels is not None
    }


def _shown(state: TensorDict, w: int, of: str) -> Tensor:
    return state[f"{of}/slice"][w, 0, :_TILES].clamp_min(0)


def _pixels(dataset: Dataset, state: TensorDict, w: int, of: str) -> np.ndarray | None:
    """The first items of a slice, ``[M, H, W]`` or ``[M, H, W, 3]``; None where they are no pictures."""
    shape = dataset.shape
    if len(shape) not in (2, 3):
        return None
    pixels = dataset.pixels("stream", _shown(state, w, of)).cpu().numpy()
    if pixels.ndim == 4:
        pixels = pixels[:, 0] if shape[0] < 3 else pixels.transpose(0, 2, 3, 1)[..., :3]
    return pixels
