"""How halves look to a person: a line per viewer, or what each saw, painted and should have painted."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from ..engine.drawing import SMALL, Drawn, Picture, head_of, room
from ..engine.state import TensorDict

_SAMPLES = 8
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


def as_text(world: HalvesView, state: TensorDict, w: int) -> str:
    """One line per viewer: score, MSE, bytes, whom it heard."""
    host = {key: state[key][w].detach().cpu() for key in ("score", "loss", "bits", "heard")}
    lines = [f"round {int(state['clock'][w])}/{world.horizon}   summed MSE {float(host['loss'].sum()):.4f}"]
    for i, name in enumerate(world.agents):
        heard = "".join("●" if heard else "·" for heard in host["heard"][i].tolist())
        lines.append(
            f"{name:<12} score {float(host['score'][i]):6.3f}  MSE {float(host['loss'][i]):.4f}"
            f"  KiB {float(host['bits'][i]) / 8192:>8,.1f}  heard {heard}"
        )
    return "\n".join(lines)


def as_image(world: HalvesView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: of the first samples (columns), what each viewer saw, painted, and should have painted.

    Parts stand where their holders' places are in the grid; beside a viewer's paintings is its own part.
    """
    held = state["own_view"][w, :, :_SAMPLES]
    if world.oracle:
        held = held.unflatten(2, (world.num_agents, -1))[:, :, 0]  # one's own comes first
    truth, answer = state["truth"][w, :, :_SAMPLES], state["answer"][w, :, :, :_SAMPLES]
    shape = _strip(world, {0: held[0]}).shape
    wide = 9.0
    high = wide * shape[0] / shape[1]
    labels = [f"{name} {what}" for name in world.agents for what in ("saw", "painted", "truth")]
    picture = Picture(
        (wide,),
        (high,) * len(labels),
        left=room(labels),
        above=(0.05, 0.05, 0.05) * world.num_agents,
        below=(0.0, 0.0, 0.15) * world.num_agents,
        title=head_of(world, state, w, unit="round"),
    )
    for i, name in enumerate(world.agents):
        others = [(i + 1 + s) % world.num_agents for s in range(world.num_agents - 1)]
        saw: dict[int, Tensor] = {i: held[i]}
        painted = {**saw, **{j: answer[i, s] for s, j in enumerate(others)}}
        right = {**saw, **{j: truth[j] for j in others}}
        for k, (what, parts) in enumerate((("saw", saw), ("painted", painted), ("truth", right))):
            (axes,) = picture.panels[3 * i + k]
            axes.imshow(_strip(world, parts), aspect="auto")
            axes.set(xticks=[], yticks=[])
            axes.set_ylabel(f"{name} {what}", fontsize=SMALL, rotation=0, ha="right", va="center")
    return picture.pixels()


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
