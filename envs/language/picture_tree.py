"""Pictures of a tree of experts for people: who is below whom, how much each is used, and by which domains."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..engine import drawing
from ..engine.drawing import Drawn
from ..engine.state import TensorDict
from ..streams.tokens import TokenDataset
from .picture import reading
from .proposals import tree_of
from .tree import KINDS, walk

_DEEP = 4  # levels whose names have room


class TreeView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    dataset: TokenDataset


def as_text(world: TreeView, state: TensorDict, w: int) -> str:
    """Nats by domain, the tree, with each agent's mean weight, steps learnt and main domain, and what is read next."""
    names = world.dataset.classes
    nats = " ".join(f"{d} {float(value):.3f}" for d, value in zip(names, state["nats"][w], strict=True))
    lines = [f"step {int(state['clock'][w])}/{world.horizon}   nats: {nats}"]
    kind, routed = state["tree/kind"][w].tolist(), state["routed"][w]
    for path in walk(tree_of(state), w):
        agent = path[-1]
        total = float(routed[agent].sum())
        main = int(routed[agent].argmax())
        mostly = f"  {names[main]} {float(routed[agent][main]) / total:.0%}" if total else ""
        used, learnt = float(state["usage"][w, agent]), int(state["updates"][w, agent])
        lines.append(
            f"{'  ' * (len(path) - 1)}{KINDS[kind[agent]]} {agent}: used {used:.3f}, learnt {learnt}{mostly}"
        )
    lines.append(reading(world.dataset, state, w))
    return "\n".join(lines)


def as_image(world: TreeView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: the weight that domains gave to each agent, from the root down, beside its updates."""
    paths = list(walk(tree_of(state), w))
    agents = [path[-1] for path in paths]
    kind, routed = state["tree/kind"][w].tolist(), state["routed"][w].cpu().numpy()
    places = np.arange(len(agents))
    labels = [f"{'   ' * (len(path) - 1)}{KINDS[kind[path[-1]]]} {path[-1]}" for path in paths]
    beside = drawing.room(["   " * _DEEP + "manager 00"])
    picture = drawing.Picture(
        (5.0, 3.2),
        (drawing.height_of(world.num_agents, most=7.0),),
        left=(beside, 0.3),
        right=(0.2, 0.6),
        title=drawing.head_of(world, state, w),
    )
    ((used, learnt),) = picture.panels
    left = np.zeros(len(agents))
    for d, name in enumerate(world.dataset.classes):
        part = np.array([routed[s, d] for s in agents])
        used.barh(places, part, left=left, label=name)
        left += part
    updates = np.array([float(state["updates"][w, s]) for s in agents])
    drawing.bars(
        learnt,
        [""] * len(agents),
        updates,
        limits=(0, max(1.0, updates.max())),
        form="{:.0f}",
        colour=drawing.GREY,
    )
    drawing.name_rows(used, labels)
    for label in used.get_yticklabels():  # the tree is read from the left
        label.set_horizontalalignment("left")
    used.tick_params(axis="y", pad=72 * (beside - 0.1))
    used.set(title="weight, summed over steps")
    drawing.legend_below(used)
    learnt.set(title="steps learnt")
    return picture.pixels()
