"""How a society looks to a person: who lies, and how much each is listened to."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..channel import LIAR_KINDS
from ..classroom.picture import ClassroomView, draw_listening, draw_slice, listening
from ..engine import drawing
from ..engine.state import TensorDict


class SocietyView(ClassroomView, Protocol):
    """What this picture asks of the world, beside what a classroom's does."""

    @property
    def liars(self) -> int:
        """How many may lie."""


def kinds(world: SocietyView, state: TensorDict, w: int) -> list[str]:
    """How each agent lies; empty of those who do not."""
    if "liar" not in state:
        return [""] * world.num_agents
    return [LIAR_KINDS[code] if code else "" for code in state["liar"][w].tolist()]


def attention(world: SocietyView, state: TensorDict, w: int) -> np.ndarray:
    """How much each is listened to, ``[N]``: the mean over the others; or how many of them heard it."""
    return listening(world, state, w).sum(0) / max(1, world.num_agents - 1)


def as_text(world: SocietyView, state: TensorDict, w: int) -> str:
    """One line per agent: accuracies, how much it is listened to, bytes so far, and whether it lies, and how."""
    found = {name: value[w].cpu() for name, value in world.summary(state).items()}
    heard = attention(world, state, w)
    word = "heard by" if world.host is None else "listened to"
    lines = [f"step {int(state['clock'][w])}/{world.horizon}"]
    for i, (name, kind) in enumerate(zip(world.agents, kinds(world, state, w), strict=True)):
        average = float(found["average"][i])
        lines.append(
            f"{name:<10}{drawing.text_bar(average)} {average:6.1%}"
            f"  own classes {float(found['expert'][i]):6.1%}  others {float(found['general'][i]):6.1%}"
            f"  {word} {heard[i]:6.1%}  KiB {float(found['bytes'][i]) / 1024:>9,.1f}"
            f"{f'  lies ({kind})' if kind else ''}{'' if bool(state['present'][w, i]) else '  (absent)'}"
        )
    return "\n".join(lines)


def as_image(world: SocietyView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: who listens to whom, accuracies, how much each is listened to, and the public slice.

    Who lies is red, and named.
    """
    found = {name: value[w].cpu().numpy() for name, value in world.summary(state).items()}
    lies = kinds(world, state, w)
    colours = [drawing.RED if kind else drawing.BLUE for kind in lies]
    names = [f"{name}: {kind}" if kind else name for name, kind in zip(world.agents, lies, strict=True)]
    told = [f"{i} ({kind})" if kind else str(i) for i, kind in enumerate(lies)]
    longest = max(LIAR_KINDS, key=len) if world.liars else ""  # the same room in every episode
    how = next((kind for kind in lies if kind), "")
    head = f"{sum(map(bool, lies))} of {world.num_agents} lie ({how}): red" if how else "nobody lies"
    picture = drawing.Picture(
        (3.0, 2.6, 2.6, 3.0),
        (drawing.height_of(world.num_agents),),
        left=(0.2, drawing.room([f"{world.agents[-1]}: {longest}"]), drawing.room([f"00 ({longest})"]), 0.2),
        right=(0.95, 0.2, 0.6, 0.2),
        title=drawing.head_of(world, state, w, head),
    )
    ((graph, marks, heard, slice_),) = picture.panels
    edges = [drawing.RED if kind else "none" for kind in lies]
    draw_listening(graph, world, state, w, found["exam_accuracy"], edgecolors=edges, linewidths=3)
    places = np.arange(world.num_agents)
    marks.barh(places - 0.2, found["expert"], height=0.38, color=drawing.TEAL, label="own classes")
    marks.barh(places + 0.2, found["general"], height=0.38, color=drawing.ORANGE, label="others'")
    drawing.name_rows(marks, names, [drawing.RED if kind else "black" for kind in lies])
    marks.set(xlim=(0, 1), title="exam accuracy")
    drawing.legend_below(marks)
    share = attention(world, state, w)
    drawing.bars(heard, told, share, limits=(0, max(0.01, float(share.max()))), colour=colours)
    heard.set(title="heard by" if world.host is None else "listened to")
    draw_slice(slice_, world.dataset, state, w, of="public")
    return picture.pixels()
