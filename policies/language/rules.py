"""Rules of who learns that go by gradients, by turns or by chance; as many as the world takes, ``k``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict, rng
from ...envs.errors import one_of
from ...envs.validation import real
from .bidding import Bidding, just_learnt, places
from .remembering import Remembering

SIZES = ("norm", "rms", "relative")
"""A gradient's norm; per parameter; over the norm of its parameters."""


def sizes_of(world: Bidding, obs: TensorDict, by: str) -> Tensor:
    """log₁₀ of the size of each group's gradient, ``[W, N]``."""
    gradient = obs["gradient"]
    if by == "relative":
        return gradient[..., 2]
    rms = gradient[..., 0]
    return rms + 0.5 * world.groups.sizes.log10() if by == "norm" else rms


class LargestGradients(Bidding):
    """Those with the largest gradients of the slice to come learn it, as documented.

    Args:
        by: One of :data:`SIZES`; "norm" is the documented one.
    """

    world_kwargs: Mapping[str, Any] = {"measure": "all"}

    def __init__(self, by: str = "norm") -> None:
        self.by = one_of("by", by, SIZES)

    def scores(self, obs: TensorDict) -> Tensor:
        """The sizes."""
        return sizes_of(self, obs, self.by)


class Cooldown(Remembering, Bidding):
    """Who has learnt much sits out: the largest gradients per parameter among the others.

    Trust rises by .1 with a step learnt and shrinks by ``decay`` in every step; from .7 on a group rests.

    Args:
        decay: As documented .995, for 21 agents and more: with ten of whom five learn, it leaves .4 of them.
    """

    world_kwargs: Mapping[str, Any] = LargestGradients.world_kwargs

    def __init__(self, decay: float = 0.9) -> None:
        self.decay = real("decay", decay, 0, 1)

    def start(self) -> Mapping[str, float]:
        """No trust yet."""
        return {"trust": 0.0}

    def scores(self, obs: TensorDict) -> Tensor:
        """The sizes of those who are not sitting out."""
        trust = (self.memory["trust"] + 0.1 * just_learnt(obs)) * self.decay
        self.memory = {"trust": trust}
        return sizes_of(self, obs, "rms").masked_fill(trust >= 0.7, -torch.inf)


class UCB(LargestGradients):
    """Upper confidence bounds over counts of updates (Auer, Cesa-Bianchi & Fischer, 2002).

    A group's value is its place among the gradients per parameter, 0 … 1; to it comes ``c``·√(ln t / n) after n of t
    steps.

    Args:
        c: Weight of what is not known.
    """

    def __init__(self, c: float = 1.0) -> None:
        super().__init__("rms")
        self.c = real("c", c, 0)

    def scores(self, obs: TensorDict) -> Tensor:
        """Value and bound."""
        values = places(super().scores(obs))
        steps = obs["elapsed"][..., 0] * self.world.horizon
        counts = obs["record"][..., 0] * steps
        return values + self.c * ((steps + 1).log() / (counts + 1)).sqrt()


class RandomGroups(Bidding):
    """Drawn anew in every step."""

    def scores(self, obs: TensorDict) -> Tensor:
        """Random numbers, by the worlds' keys."""
        key = rng.fold(self.world.keys, self.world.steps)
        return rng.draw(key, "policy/groups", (self.world.num_agents,)).uniform()


class RoundRobin(Bidding):
    """Each in its turn: k of a random order of all, then the next k, then a new order."""

    def scores(self, obs: TensorDict) -> Tensor:
        """0 of those whose turn it is."""
        n, k = self.world.num_agents, self.groups.capacity
        steps, turns = self.world.steps, math.ceil(n / k)
        key = rng.fold(self.world.keys, steps // turns)
        place = rng.draw(key, "policy/turns", (n,)).ranks()
        mine = place // k == (steps % turns)[:, None]
        return torch.where(mine, 0.0, -torch.inf)
