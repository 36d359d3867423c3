"""Pictures of a collective for people: text for terminals, pixels for windows and films."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..classroom.picture import draw_slice
from ..engine.drawing import Drawn, as_pixels, new_figure
from ..engine.state import TensorDict
from ..streams import Dataset

_BAR = 20


class CollectiveView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    dataset: Dataset


def as_text(world: CollectiveView, state: TensorDict, w: int) -> str:
    """The collective's accuracy, then one line per member: accuracy, contribution, and how often it is consulted."""
    metrics = {name: value[w].cpu() for name, value in world.summary(state).items()}
    lines = [
        f"step {int(state['clock'][w])}/{world.horizon}   collective {float(metrics['collective_accuracy']):.1%}"
        f"   diversity {float(metrics['diversity']):.2f}   entropy {float(metrics['entropy']):.2f} nats"
        f"   dropped {int(metrics['dropped']):,}"
    ]
    for i, name in enumerate(world.agents):
        accuracy = float(metrics["exam_accuracy"][i])
        filled = round(accuracy * _BAR)
        away = "" if bool(state["present"][w, i]) else "  (absent)"
        lines.append(
            f"{name:<10}{'█' * filled}{'░' * (_BAR - filled)} {accuracy:6.1%}"
            f"  contribution {float(metrics['contribution'][i]):+.3f}"
            f"  consulted {float(metrics['utilisation'][i]):6.1%}  load {float(metrics['load'][i]):.2f}"
            f"  KiB {float(metrics['bytes'][i]) / 1024:>8,.1f}{away}"
        )
    return "\n".join(lines)


def as_image(world: CollectiveView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: accuracies, utilisation (in all, and over time), weights on the last slice, the slice."""
    metrics = {name: value[w].cpu().numpy() for name, value in world.summary(state).items()}
    figure = new_figure(14, 4.5)
    bars, shares, times, weights, tiles = figure.subplots(1, 5)
    places = np.arange(world.num_agents)
    together = float(metrics["collective_accuracy"])
    bars.barh(places, metrics["exam_accuracy"], color="#4c78a8")
    bars.axvline(together, color="#e45756")
    bars.set(xlim=(0, 1), yticks=places, yticklabels=world.agents, title=f"exam: together {together:.0%}")
    shares.barh(places - 0.2, metrics["utilisation"], height=0.4, color="#72b7b2", label="consulted")
    shares.barh(places + 0.2, metrics["load"], height=0.4, color="#f58518", label="load")
    shares.set(xlim=(0, 1), yticks=places, title="utilisation and load")
    shares.legend(loc="upper right", fontsize=8)
    past, asked = (state[f"past/{name}"][w].cpu().numpy() for name in ("consulted", "asked"))
    when = np.where(asked[:, None] > 0, past / np.maximum(asked, 1)[:, None], np.nan)  # [MOMENTS, N]
    shown = {"vmin": 0, "vmax": 1, "aspect": "auto", "cmap": "viridis"}
    times.imshow(when.T, extent=(0, world.horizon, world.num_agents - 0.5, -0.5), **shown)
    times.set(yticks=places, xlabel="step", title="consulted, over time")
    weights.imshow(state["fb/weights"][w].cpu().numpy(), **shown)
    weights.set(yticks=places, xlabel="sample", title="weights on the last slice")
    for axes in (bars, shares):
        axes.invert_yaxis()
    draw_slice(tiles, world.dataset, state, w)
    figure.suptitle(f"step {int(state['clock'][w])}/{world.horizon}    dropped {int(metrics['dropped']):,}")
    return as_pixels(figure)
