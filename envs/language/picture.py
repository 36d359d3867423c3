"""Pictures of a language model for people: who learnt when, and what the exam said of each domain."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..engine import drawing
from ..engine.drawing import Drawn
from ..engine.state import TensorDict
from ..streams.tokens import TokenDataset

_READ = 120  # characters of a text


class ModularView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    dataset: TokenDataset
    tasks: tuple[int, ...]

    @property
    def agent_labels(self) -> list[str]:
        """What each agent is, e.g. "attention 2"."""


def reading(dataset: TokenDataset, state: TensorDict, w: int) -> str:
    """The beginning of the slice that comes next, on a line."""
    tokens = dataset.dealt(state["stream/slice"][w, 0, :1])[0].tolist()
    text = " ".join(dataset.tokeniser.decode(tokens).split())
    text = "".join(c if c.isprintable() else "�" for c in text)  # no terminal is to obey it
    return f"reads: {text[:_READ]}{'…' if len(text) > _READ else ''}"


def as_text(world: ModularView, state: TensorDict, w: int) -> str:
    """Nats by domain, how often each group has learnt, and what is read next."""
    nats = " ".join(
        f"{name} {float(value):.3f}"
        for name, value in zip(world.dataset.classes, state["nats"][w], strict=True)
    )
    steps = max(1, int(state["clock"][w]))
    lines = [f"step {int(state['clock'][w])}/{world.horizon}   nats: {nats}"]
    shares = _shares(world, state, w)
    often = state["updates"][w] / steps
    names = world.agent_labels
    width = max(map(len, names))
    for i, name in enumerate(names):
        bars = "".join(
            " ░▒▓█"[round(4 * float(share))] for share in shares[i, :: max(1, len(shares[i]) // 50)]
        )
        lines.append(f"{name:<{width}} {bars} {float(often[i]):4.0%}")
    lines.append(reading(world.dataset, state, w))
    return "\n".join(lines)


def as_image(world: ModularView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: who learnt when, above the nats of each domain on the exam."""
    names, steps = world.agent_labels, int(state["clock"][w])
    picture = drawing.Picture(
        (8.5,),
        (drawing.height_of(len(names)), 2.2),
        left=drawing.room(names),
        right=1.0,
        below=(0.4, 0.6),
        title=drawing.head_of(world, state, w),
    )
    (who,), (what,) = picture.panels
    extent = (0, world.horizon, len(names) - 0.5, -0.5)
    drawing.heat(who, _shares(world, state, w), "share of steps", cmap="Blues", extent=extent)
    drawing.name_rows(who, names)
    who.set(title="who learnt")
    parts = state["curve/nats"].shape[1]
    at = (np.arange(parts) + 1) * world.horizon / parts
    nats = state["curve/nats"][w].cpu().numpy()
    seen = (at <= max(steps, world.horizon / parts)) & (nats[:, 0] > 0)
    for d, name in enumerate(world.dataset.classes):
        what.plot(at[seen], nats[seen, d], label=name)
    for task in range(1, len(world.tasks)):
        for axes in (who, what):
            axes.axvline(task * world.horizon / len(world.tasks), color="grey", linewidth=0.8)
    what.set(xlim=(0, world.horizon), xlabel="step", ylabel="nats of a token", title="exam")
    what.grid()
    what.legend(loc="upper right")
    return picture.pixels()


def _shares(world: ModularView, state: TensorDict, w: int) -> np.ndarray:
    """In which share of the steps of each part of the episode each agent learnt, ``[N, parts]``; 0 of those to come."""
    learnt = state["curve/learnt"][w].cpu().numpy().T
    parts = learnt.shape[1]
    made = np.arange(int(state["clock"][w])) * parts // world.horizon
    return learnt / np.maximum(np.bincount(made, minlength=parts), 1)
