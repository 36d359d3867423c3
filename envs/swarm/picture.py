"""How a swarm looks to a person: a map in characters, or a picture."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from ..engine import drawing
from ..engine.drawing import Drawn
from ..engine.state import TensorDict, under
from .objectives import Objective

_COLUMNS, _ROWS = 41, 17
_GRID = 61


class SwarmView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    objective: Objective
    dtype: torch.dtype
    device: torch.device


def as_text(world: SwarmView, state: TensorDict, w: int) -> str:
    """One line of figures, and a map of the first two coordinates: particles (digits: how many), the best (*)."""
    position, best, value = (state[k][w].cpu() for k in ("position", "best", "worth"))
    leader = int(value.argmin())
    counts = np.zeros((_ROWS, _COLUMNS), dtype=int)
    for row, column in map(_cell, position[:, :2].tolist()):
        counts[row, column] += 1
    cells = [["·" if not count else str(min(count, 9)) for count in line] for line in counts.tolist()]
    row, column = _cell(best[leader, :2].tolist())
    cells[row][column] = "*"
    head = (
        f"step {int(state['clock'][w])}/{world.horizon}   best {float(value[leader]):.4g} ({world.agents[leader]})"
        f"   evaluations {int(state['evaluations'][w]):,}"
    )
    return "\n".join([head, *("".join(line) for line in cells)])


def _cell(place: list[float]) -> tuple[int, int]:
    """Row and column of a place; a line has the single row in the middle."""
    x, y = (*place, 0.0)[:2]
    return round((1 - y) / 2 * (_ROWS - 1)), round((x + 1) / 2 * (_COLUMNS - 1))


def as_image(world: SwarmView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: contours of a plane through the best, the particles' last paths, and everyone's bests.

    The plane is that of the first two coordinates; the others are those of the swarm's best position.
    """
    worth = state["worth"][w].cpu().numpy()
    leader = int(worth.argmin())
    names = [str(i) for i in range(world.num_agents)]
    evaluations = f"evaluations {int(state['evaluations'][w]):,}"
    picture = drawing.Picture(
        (4.2, 4.2),
        (4.2,),
        left=(0.6, drawing.room(names) + 0.3),
        right=(0.95, 0.2),
        title=drawing.head_of(world, state, w, f"best {worth[leader]:.4g}", evaluations),
    )
    ((plane, bars),) = picture.panels
    if world.objective.dimensions > 1:
        _draw_contours(plane, world, state, w, leader)
    position, best = (_plane(state[k][w]) for k in ("position", "best"))
    for path in state["trail"][w].cpu().numpy().transpose(1, 2, 0):  # [2, TRAIL] of a particle
        plane.plot(*path, color="white", lw=0.8, alpha=0.6)
    plane.scatter(best[:, 0], best[:, 1], s=18, facecolors="none", edgecolors="white", linewidths=0.8)
    plane.scatter(position[:, 0], position[:, 1], s=30, color=drawing.ORANGE, zorder=3)
    plane.scatter(
        best[leader, 0], best[leader, 1], s=160, marker="*", color=drawing.RED, edgecolors="white", zorder=4
    )
    plane.set(xlim=(-1, 1), ylim=(-1, 1), title="first two coordinates", facecolor="#30466b")
    plane.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    error = np.clip(worth - world.objective.optimum, 1e-40, None)
    decades = np.log10(error)
    limits = min(-8.0, float(decades.min()) - 1), max(3.0, float(decades.max()))
    bars.barh(range(len(error)), decades - limits[0], left=limits[0], height=0.7)
    drawing.name_rows(bars, names)
    bars.set(xlim=limits, title="log₁₀ error of the bests", ylabel="particle")
    return picture.pixels()


def _plane(x: torch.Tensor) -> np.ndarray:
    """The first two coordinates ``[N, 2]`` of ``[N, D]``; on a line the second is 0."""
    found = x[:, :2].cpu().double().numpy()
    return found if found.shape[1] == 2 else np.pad(found, ((0, 0), (0, 1)))


def _draw_contours(axes: Any, world: SwarmView, state: TensorDict, w: int, leader: int) -> None:
    grid = torch.linspace(-1, 1, _GRID, dtype=world.dtype, device=world.device)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    places = state["best"][w, leader].expand(_GRID * _GRID, -1).clone()
    places[:, 0], places[:, 1] = x.flatten(), y.flatten()
    instance = {k: v[w : w + 1] for k, v in under(state, "objective/").items()}
    with torch.no_grad():  # in parts: networks take memory
        parts = [world.objective.value(part[None], instance)[0] for part in places.split(_GRID)]
    value = torch.cat(parts).view(_GRID, _GRID).cpu().numpy()
    decades = np.log10(value - world.objective.optimum + 1e-3)
    drawn = axes.contourf(grid.cpu().numpy(), grid.cpu().numpy(), decades, levels=16)
    drawing.scale(axes, drawn, "log₁₀ error")
