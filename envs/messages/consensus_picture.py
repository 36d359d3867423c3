"""How a consensus looks to a person: a line per witness, or views and estimates of the first samples."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..engine import drawing
from ..engine.drawing import Drawn
from ..engine.state import TensorDict
from .answers import Answers, Classes

_SAMPLES = 4
_TALL = 6  # witnesses; of more the rows are lower


class ConsensusView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    rows: int
    answers: Answers


def as_text(world: ConsensusView, state: TensorDict, w: int) -> str:
    """One line per witness: score, accuracy where there are classes, bytes, whom it heard."""
    found = {key: value[w].detach().cpu() for key, value in world.summary(state).items()}
    heard = state["heard"][w].cpu().tolist()
    lines = [f"round {int(state['clock'][w])}/{world.horizon}   agreement {float(found['agreement']):.3f}"]
    for i, name in enumerate(world.agents):
        right = f"  right {float(found['accuracy'][i]):6.1%}" if "accuracy" in found else ""
        lines.append(
            f"{name:<12} score {float(found['score'][i]):6.3f}{right}  KiB {float(found['bytes'][i]) / 1024:>8,.1f}"
            f"  heard {''.join('●' if h else '·' for h in heard[i])}"
        )
    return "\n".join(lines)


def as_image(world: ConsensusView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: a row per witness; of each of the first samples its view, and its estimate."""
    n, samples = world.num_agents, min(_SAMPLES, world.rows)
    row = 1.1 if n <= _TALL else max(0.3, 1.1 * _TALL / n)
    picture = drawing.Picture(
        (row, 1.8) * samples,
        (row * n,),
        left=(drawing.room(world.agents), 0.1, *(0.3, 0.1) * (samples - 1)),
        right=(*(0.0,) * (2 * samples - 1), 0.95),
        title=drawing.head_of(world, state, w, "green: the right one", unit="round"),
    )
    host = {key: state[key][w].detach().cpu().numpy() for key in ("own_view", "answer", "truth")}
    (panels,) = picture.panels
    for b in range(samples):
        view, estimate = panels[2 * b], panels[2 * b + 1]
        seen = host["own_view"][:, b]
        if seen.ndim == 4:
            shown = drawing.tiles(view, seen[:, 0], columns=1, limits=(-2, 2))
            shown.axes.set_aspect("auto")
        else:
            drawing.ridges(view, seen.reshape(n, -1), limits=(-3, 3))
            view.set(xticks=[])
        _draw_estimates(estimate, world, host["answer"][:, b], host["truth"][:, b])
        view.set_title("view")
        estimate.set_title("estimate")
    for i, name in enumerate(world.agents):
        panels[0].text(
            -0.1,
            1 - (i + 0.5) / n,
            name,
            transform=panels[0].transAxes,
            ha="right",
            va="center",
            fontsize=drawing.SMALL,
        )
    if seen.ndim == 4:
        drawing.scale(panels[-1], shown, "view")
    return picture.pixels()


def _draw_estimates(axes: Any, world: ConsensusView, estimates: np.ndarray, truth: np.ndarray) -> None:
    """A row per witness of ``[N, K]``; the right class, ``[N]``, or the right numbers, ``[N, K]``, green."""
    places = np.arange(estimates.shape[1])
    if isinstance(world.answers, Classes):
        right = places == truth.reshape(-1, 1)
        colours = np.where(right, drawing.GREEN, drawing.GREY).ravel()
        drawing.ridges(axes, estimates, colours=list(colours))
        shown = places[:: -(-len(places) // 10)]
        axes.set_xticks(shown, shown)
        axes.set_xlabel("class")
        return
    far = max(1e-6, float(np.abs([estimates, truth]).max()))
    drawing.ridges(axes, estimates, (-far, far), drawing.GREY)
    base = np.arange(len(estimates))[::-1, None] + 0.46 + truth * 0.46 / far
    axes.plot(np.tile(places, len(estimates)), base.ravel(), "o", color=drawing.GREEN, markersize=4)
    axes.set(xticks=[])
