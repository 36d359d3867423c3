"""How halves look to a person: a line per viewer, or what each saw, painted and should have painted."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from ..engine.drawing import SMALL, Drawn, Picture, head_of, room
from ..engine.state import TensorDict

_SAMPLES = 8
_NUMBERS = 12  # of a message
_ENLARGED = 48  # pixels of a picture's longer side, at least
_GAP = 4
_PAPER = 0.85  # grey between the parts


class HalvesView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    sources: int
    oracle: bool
    grid: tuple[int, int]
    picture_shape: tuple[int, int, int]
    part_shape: tuple[int, int, int]

    def inbox(self, state: TensorDict) -> Tensor:
        """See :meth:`MessageWorld.inbox <studyhall.envs.messages.world.MessageWorld.inbox>`."""


def as_text(world: HalvesView, state: TensorDict, w: int) -> str:
    """One line per viewer: score, MSE, bytes, whom it heard, and what it was told of the first sample."""
    host = {key: state[key][w].detach().cpu() for key in ("score", "loss", "bits", "heard")}
    inbox = world.inbox(state)[w].detach().cpu()
    lines = [f"round {int(state['clock'][w])}/{world.horizon}   summed MSE {float(host['loss'].sum()):.4f}"]
    for i, name in enumerate(world.agents):
        heard = "".join("●" if heard else "·" for heard in host["heard"][i].tolist())
        lines.append(
            f"{name:<12} score {float(host['score'][i]):6.3f}  MSE {float(host['loss'][i]):.4f}"
            f"  KiB {float(host['bits'][i]) / 8192:>8,.1f}  heard {heard}"
        )
        for message, arrived in zip(inbox[i, :, 0], host["heard"][i].tolist(), strict=True):
            lines += [f"{'':<12} was told {_told(message)}"] if arrived else []
    return "\n".join(lines)


def _told(message: Tensor) -> str:
    """A message about one sample: its symbols ``[L, V]`` by number, or the first of its numbers ``[M]``."""
    if message.dim() == 2:
        return " ".join(str(symbol) for symbol in message.argmax(-1).tolist())
    more = " …" if len(message) > _NUMBERS else ""
    return " ".join(f"{number:.2f}" for number in message[:_NUMBERS].tolist()) + more


def as_image(world: HalvesView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: of the first samples (columns), what each viewer saw, painted, and should have painted.

    Parts stand where their holders' places are in the grid; beside a viewer's paintings is its own part.
    """
    rows = strips(world, state, w)
    shape = next(iter(rows.values())).shape
    wide = 9.0
    high = wide * shape[0] / shape[1]
    picture = Picture(
        (wide,),
        (high,) * len(rows),
        left=room(list(rows)),
        above=(0.05, 0.05, 0.05) * world.num_agents,
        below=(0.0, 0.0, 0.15) * world.num_agents,
        title=head_of(world, state, w, unit="round"),
    )
    for (axes,), (label, strip) in zip(picture.panels, rows.items(), strict=True):
        axes.imshow(strip, aspect="auto")
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(label, fontsize=SMALL, rotation=0, ha="right", va="center")
    return picture.pixels()


def strips(world: HalvesView, state: TensorDict, w: int) -> dict[str, np.ndarray]:
    """What each saw, painted, and should have painted of the first samples: ``[H, W, 3]`` in [0, 1] by label."""
    held = state["own_view"][w, :, :_SAMPLES]
    if world.oracle:
        held = held.unflatten(2, (world.num_agents, -1))[:, :, 0]  # one's own comes first
    truth, answer = state["truth"][w, :, :_SAMPLES], state["answer"][w, :, :, :_SAMPLES]
    found = {}
    for i, name in enumerate(world.agents):
        others = [(i + 1 + s) % world.num_agents for s in range(world.num_agents - 1)]
        saw: dict[int, Tensor] = {i: held[i]}
        painted = {**saw, **{j: answer[i, s] for s, j in enumerate(others)}}
        right = {**saw, **{j: truth[j] for j in others}}
        for what, parts in (("saw", saw), ("painted", painted), ("truth", right)):
            found[f"{name} {what}"] = _strip(world, parts)
    return found


def _strip(world: HalvesView, parts: dict[int, Tensor]) -> np.ndarray:
    """Samples side by side, ``[H, W, 3]`` in [0, 1]; parts that are not there are grey."""
    channels, height, width = world.part_shape
    samples = len(next(iter(parts.values())))
    times = max(1, -(-_ENLARGED // max(world.picture_shape[1:])))
    rows, columns = world.grid
    blank = np.full((samples, channels, height, width), 0.5, np.float32)
    drawn = [parts[n].detach().cpu().numpy() if n in parts else blank for n in range(world.num_agents)]
    lines = [np.concatenate(drawn[r * columns : (r + 1) * columns], axis=3) for r in range(rows)]
    pictures = np.concatenate(lines, axis=2).repeat(times, axis=2).repeat(times, axis=3)
    framed = np.pad(pictures, ((0, 0), (0, 0), (_GAP, _GAP), (_GAP, _GAP)), constant_values=_PAPER)
    row = np.concatenate(list(framed), axis=2)  # [C, H, W]
    colour = row[:3] if channels >= 3 else np.repeat(row[:1], 3, axis=0)
    return colour.transpose(1, 2, 0)
