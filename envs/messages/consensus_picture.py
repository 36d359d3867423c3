"""How a consensus looks to a person: a line per witness, or views and estimates of the first samples."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..engine.drawing import Drawn, as_pixels, new_figure
from ..engine.state import TensorDict
from .answers import Answers, Classes

_SAMPLES = 4


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
    figure = new_figure(3.2 * samples, 1.3 * n + 0.5)
    axes = figure.subplots(n, 2 * samples, squeeze=False)
    host = {key: state[key][w].detach().cpu().numpy() for key in ("own_view", "answer", "truth")}
    for i in range(n):
        for b in range(samples):
            _draw_view(axes[i, 2 * b], host["own_view"][i, b])
            _draw_estimate(axes[i, 2 * b + 1], world, host["answer"][i, b], host["truth"][i, b])
        axes[i, 0].set_ylabel(world.agents[i], fontsize=7)
    figure.suptitle(f"round {int(state['clock'][w])}/{world.horizon}", fontsize=9)
    return as_pixels(figure)


def _draw_view(axes, view: np.ndarray) -> None:
    axes.set(xticks=[], yticks=[])
    if view.ndim == 3:
        axes.imshow(view[0], cmap="gray", vmin=-2, vmax=2)
    else:
        axes.bar(np.arange(view.size), view.ravel(), color="#4c78a8")


def _draw_estimate(axes, world: ConsensusView, estimate: np.ndarray, truth: np.ndarray) -> None:
    places = np.arange(estimate.size)
    axes.set(xticks=[], yticks=[])
    if isinstance(world.answers, Classes):
        axes.bar(places, estimate, color=["#54a24b" if k == truth else "#bab0ac" for k in places])
        axes.set(ylim=(0, 1), xticks=places)
        axes.tick_params(labelsize=5, length=0)
    else:
        axes.bar(places, estimate, color="#bab0ac")
        axes.plot(places, truth, "o", color="#54a24b", markersize=3)
