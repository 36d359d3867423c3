"""K-1's own rules (documented system 2): agents earn trust where the error falls after they have learnt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict, rng
from ...envs.errors import one_of
from ...envs.validation import flag, real
from .bidding import Bidding, just_learnt, places, ranks
from .remembering import Remembering
from .rules import SIZES, LargestGradients, sizes_of


class K1(Remembering, Bidding):
    """Gradients, trust and recency, in two phases.

    Trust begins at .3. Where the loss of a slice is lower than that of the slice before, those who learnt the latter
    gain min(.5·reduction, .3); where it is not, theirs shrinks by a tenth. In phase 1 a score is gradient · (1 +
    trust), and one of the k is drawn from the rest; in phase 2 it is .4·gradient + .3·trust + .3·recency. There
    gradients count by their place among the others, 0 … 1, and recency is the steps since a group's last, over 2·N/k of
    them: 100, as documented, are never reached where half of all groups learn.

    Args:
        phase1: Share of the episode that phase 1 takes; documented are 10,000 steps of 500,000.
        trust: Whether trust counts; else it is taken as 0.
        by: What is a gradient's size: one of :data:`~studyhall.policies.language.rules.SIZES`.
    """

    world_kwargs: Mapping[str, Any] = LargestGradients.world_kwargs

    def __init__(self, phase1: float = 0.1, trust: bool = True, by: str = "norm") -> None:
        self.phase1 = real("phase1 (share of the episode)", phase1, 0, 1)
        self.trust, self.by = flag("trust", trust), one_of("by", by, SIZES)

    def start(self) -> Mapping[str, float]:
        """Trust of .3; nobody has learnt, and no loss is known."""
        return {"trust": 0.3, "learnt": 0.0, "loss": math.inf}

    def scores(self, obs: TensorDict) -> Tensor:
        """Those of the phase."""
        self._remember(obs)
        trust = self.memory["trust"] if self.trust else torch.zeros_like(self.memory["trust"])
        sizes = sizes_of(self, obs, self.by)
        n, k = self.world.num_agents, self.groups.capacity
        first = self._with_one_by_chance(10.0**sizes * (1 + trust), k)
        aged = obs["record"][..., 1]
        since = 10 * aged / (1 - aged).clamp_min(1e-6)  # of t / (t + 10)
        recency = (since / (2 * n / k)).clamp(max=1.0)
        second = 0.4 * places(sizes) + 0.3 * trust + 0.3 * recency
        return torch.where(obs["elapsed"][..., 0] < self.phase1, first, second)

    def _remember(self, obs: TensorDict) -> None:
        """What the last slice says of those who learnt the one before it."""
        trust, before = self.memory["trust"], self.memory["loss"]
        loss = obs["losses"][..., 0] * math.log(self.groups.net.vocabulary)
        reduction = before - loss
        gained = trust + (0.5 * reduction).clamp(max=0.3)
        judged = (self.memory["learnt"] > 0) & before.isfinite()
        new = torch.where(reduction > 0, gained, trust * 0.9).clamp(0, 1)
        self.memory = {
            "trust": torch.where(judged, new, trust),
            "learnt": just_learnt(obs).float(),
            "loss": loss,
        }

    def _with_one_by_chance(self, scores: Tensor, k: int) -> Tensor:
        """Scores of which the k highest are the k − 1 highest that were, and one of the others, drawn."""
        key = rng.fold(self.world.keys, self.world.steps)
        luck = rng.draw(key, "policy/slot", (self.world.num_agents,)).uniform()
        kept = ranks(scores) >= self.world.num_agents - (k - 1)
        return torch.where(kept, 2.0, luck)


class AsPublished(LargestGradients):
    """The published training: the largest norms learn, Xavier tables, words, and an optimiser begun anew each task."""

    world_kwargs: Mapping[str, Any] = {
        **LargestGradients.world_kwargs,
        "init": "xavier",
        "tokeniser": "words",
        "lr": 1e-3,
        "warmup": 0,
        "fresh_optimiser": True,
    }
