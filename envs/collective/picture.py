"""Pictures of a collective for people: text for terminals, pixels for windows and films."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..classroom.picture import draw_slice
from ..engine import drawing
from ..engine.drawing import Drawn
from ..engine.state import TensorDict
from ..streams import Dataset


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
        away = "" if bool(state["present"][w, i]) else "  (absent)"
        lines.append(
            f"{name:<10}{drawing.text_bar(accuracy)} {accuracy:6.1%}"
            f"  contribution {float(metrics['contribution'][i]):+.3f}"
            f"  consulted {float(metrics['utilisation'][i]):6.1%}  load {float(metrics['load'][i]):.2f}"
            f"  KiB {float(metrics['bytes'][i]) / 1024:>8,.1f}{away}"
        )
    return "\n".join(lines)


def as_image(world: CollectiveView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: accuracies, contributions, utilisation (in all, and over time), weights, the slice."""
    metrics = {name: value[w].cpu().numpy() for name, value in world.summary(state).items()}
    together, dropped = float(metrics["collective_accuracy"]), int(metrics["dropped"])
    high = drawing.height_of(world.num_agents, least=2.5)
    picture = drawing.Picture(
        (3.0, 3.0, 3.0),
        (high, high),
        left=(drawing.room(world.agents), 0.6, 0.6),
        right=(0.95, 0.95, 0.7),
        title=drawing.head_of(world, state, w, f"together {together:.0%}", f"dropped {dropped:,}"),
    )
    (bars, shares, slice_), (times, weights, worth) = picture.panels
    drawing.bars(bars, world.agents, metrics["exam_accuracy"])
    bars.axvline(together, color=drawing.RED, linestyle="--")
    bars.set(title="exam accuracy (red: together)")
    places = np.arange(world.num_agents)
    shares.barh(places - 0.2, metrics["utilisation"], height=0.38, color=drawing.TEAL, label="consulted")
    shares.barh(places + 0.2, metrics["load"], height=0.38, color=drawing.ORANGE, label="load")
    drawing.name_rows(shares, [str(i) for i in places])
    shares.set(xlim=(0, 1), title="consulted, and load")
    drawing.legend_below(shares)
    past, asked = (state[f"past/{name}"][w].cpu().numpy() for name in ("consulted", "asked"))
    when = np.where(asked[:, None] > 0, past / np.maximum(asked, 1)[:, None], np.nan)  # [MOMENTS, N]
    drawing.heat(times, when.T, "share of samples", extent=(0, world.horizon, world.num_agents - 0.5, -0.5))
    drawing.name_rows(times, world.agents)
    times.set(xlabel="step", title="consulted, over time")
    drawing.heat(weights, state["fb/weights"][w].cpu().numpy(), "weight")
    drawing.name_rows(weights, [str(i) for i in places])
    weights.set(xlabel="sample", title="weights on the last slice")
    far = max(0.01, 1.3 * float(np.abs(metrics["contribution"]).max()))
    drawing.bars(worth, [str(i) for i in places], metrics["contribution"], limits=(-far, far), form="{:+.3f}")
    worth.set(title="contribution")
    draw_slice(slice_, world.dataset, state, w)
    return picture.pixels()
