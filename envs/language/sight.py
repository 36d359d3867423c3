"""What each agent of a tree sees of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..engine.state import TensorDict
from . import census, proposals
from . import tree as shape
from .tree import Limits


def spaces_of(agents: int, domains: int) -> dict[str, spaces.Space[Any]]:
    """Spaces of what an agent sees, but for what it may do, by key."""
    return {
        "alive": spaces.Box(0, 1, (1,), np.float32),
        "own_features": spaces.Box(0, 1, (5,), np.float32),
        "record": spaces.Box(0, 1, (6,), np.float32),
        "gradient": spaces.Box(-np.inf, np.inf, (1,), np.float32),
        "similarity": spaces.Box(-1, 1, (1,), np.float32),
        "together": spaces.Box(-1, 1, (2,), np.float32),
        "links": spaces.Box(-1, agents, (2,), np.float32),
        "gap": spaces.Box(0, 1, (2,), np.float32),
        "trial": spaces.Box(0, 1, (2,), np.float32),
        "verdicts": spaces.Box(0, np.inf, (3,), np.float32),
        "losses": spaces.Box(-np.inf, np.inf, (3,), np.float32),
        "cards": spaces.Box(0, np.inf, (domains,), np.float32),
        "current_domain": spaces.Box(0, 1, (domains,), np.float32),
        "elapsed": spaces.Box(0, 1, (1,), np.float32),
    }


def own(state: TensorDict, limits: Limits, horizon: int) -> TensorDict:
    """Tables ``[W, S, …]`` that are each agent's own, as the page of ``hierarchy-v0`` describes them."""
    tree = proposals.tree_of(state)
    alive = tree.alive
    kinds = torch.stack([tree.kind == kind for kind in (shape.ROOT, shape.MANAGER, shape.EXPERT)], -1)
    places = torch.stack([shape.depth(tree, limits) / limits.depth, shape.children(tree) / limits.most], -1)
    busy = state["trial/touched"] & (state["trial/operation"] != shape.NOTHING)[:, None]
    found = {
        "alive": alive[..., None].float(),
        "own_features": torch.cat([kinds.float(), places], -1).clamp(0, 1),
        "record": _record(state, horizon) * alive[..., None],
        "gradient": (state["norm"].clamp_min(1e-12).log10() * alive)[..., None],
        **_company(state, limits),
        "gap": torch.stack([state["gap/share_of"], aged(state["gap/age_of"])], -1).clamp(0, 1),
        "trial": torch.stack([busy, state["protected"] > 0], -1).float(),
    }
    # Where a model has grown beyond all numbers, agents see 0.
    return {name: value.nan_to_num(0.0, 0.0, 0.0) for name, value in found.items()}


def _record(state: TensorDict, horizon: int) -> Tensor:
    """``[W, S, 6]``."""
    age = state["age"]
    told = [
        state["usage"],
        state["picked/window"],
        state["updates"] / age.clamp_min(1),
        aged(state["since"]),
        aged(state["idle"]),
        age / horizon,
    ]
    return torch.stack(told, -1).clamp(0, 1)


def _company(state: TensorDict, limits: Limits) -> TensorDict:
    """Of the most similar sibling, the parent, and the manager who is most often active with an agent."""
    tree = proposals.tree_of(state)
    alike, together = census.similarity(state), census.cosines(state["together"])
    mate = shape.best(alike, proposals.mates(state, limits))
    home = shape.best(together, shape.homes(tree, limits))
    below = tree.alive & (tree.kind != shape.ROOT)
    parent = torch.where(below, tree.parent, -1)
    beside = torch.where(below, census.beside(state["together"], tree.parent), 0.0)

    def at(scores: Tensor, who: Tensor) -> Tensor:
        found = scores.gather(2, who.clamp_min(0)[..., None])[..., 0]
        return torch.where(who >= 0, found, 0.0).clamp(-1, 1)

    return {
        "similarity": at(alike, mate)[..., None],
        "together": torch.stack([beside.clamp(-1, 1), at(together, home)], -1),
        "links": torch.stack([parent, mate], -1).float(),
    }


def aged(steps: Tensor) -> Tensor:
    """T / (t + 10), 1 of infinity."""
    return torch.where(steps.isfinite(), steps / (steps + 10), 1.0)
