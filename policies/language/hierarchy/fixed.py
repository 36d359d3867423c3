"""Trees that nobody looks after: what is gained by changing them is held against these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ....envs.engine import TensorDict, rng
from ....envs.validation import real
from .gardening import Gardening


class FixedTree(Gardening):
    """All agents learn every slice, in the tree there is at first."""

    world_kwargs: Mapping[str, Any] = {"k": None, "tree": "balanced"}

    def act(self, obs: TensorDict) -> TensorDict:
        """Bids of 1, no proposals."""
        nothing = torch.zeros(
            self.world.num_worlds, self.world.num_agents, dtype=torch.int64, device=self.world.device
        )
        return {"bid": obs["alive"], "operation": nothing}


class FlatMixture(FixedTree):
    """All of a flat mixture of experts learn, one of as many as there are slots."""

    world_kwargs: Mapping[str, Any] = {"k": None, "tree": "flat"}


class RandomOperations(Gardening):
    """All agents learn; now and then one of them proposes something that it may.

    Args:
        chance: Of a proposal in a step of a world.
    """

    world_kwargs: Mapping[str, Any] = {"k": None}

    def __init__(self, chance: float = 0.05) -> None:
        self.chance = real("chance (of a proposal)", chance, 0, 1)

    def act(self, obs: TensorDict) -> TensorDict:
        """Of all that is legal, but rolling back, each is as likely."""
        world, legal = self.world, obs["operation_mask"][..., 1:-1]
        key = rng.fold(world.keys, world.steps)
        luck = rng.draw(key, "policy/operation", tuple(legal.shape[1:])).uniform() * legal
        due = rng.draw(key, "policy/due", (1,)).below(self.chance)
        best = (luck == luck.amax((1, 2), keepdim=True)) & (luck > 0) & due[..., None]
        operation = torch.where(best.any(-1), best.long().argmax(-1) + 1, 0)
        return {"bid": obs["alive"], "operation": operation}
