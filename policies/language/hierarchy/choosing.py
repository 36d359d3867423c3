"""Who learns in a tree that stays as it is: rules by which little or much falls on those who learnt before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ....envs.engine import TensorDict, rng
from ....envs.errors import ConfigError
from ....envs.validation import flag, whole
from ..bidding import ranks
from ..remembering import Remembering
from .gardening import Gardening


class Choosing(Gardening):
    """Bids of the order of :meth:`scores`, and no proposals; the world takes the ``k`` highest beside the root."""

    @abstractmethod
    def scores(self, obs: TensorDict) -> Tensor:
        """How much each agent should learn, ``[W, N]``; −∞ rests whatever the others do."""

    def trunk_learns(self) -> Tensor | float:
        """1 where the root learns, with the trunk, ``[W, 1]``; as a rule it always does."""
        return 1.0

    def act(self, obs: TensorDict) -> TensorDict:
        """``bid`` ``[W, N, 1]`` and ``operation`` int64 ``[W, N]``."""
        root, alive = obs["own_features"][..., 0] > 0, obs["alive"][..., 0] > 0
        scores = torch.where(alive & ~root, self.scores(obs), -torch.inf)
        bids = torch.where(scores > -torch.inf, (ranks(scores) + 1.0) / self.world.num_agents, 0.0)
        bids = torch.where(root, self.trunk_learns(), bids)
        return {"bid": bids[..., None], "operation": torch.zeros_like(bids, dtype=torch.int64)}


class RandomAgents(Choosing):
    """Drawn anew in every step."""

    def scores(self, obs: TensorDict) -> Tensor:
        """Random numbers, by the worlds' keys."""
        key = rng.fold(self.world.keys, self.world.steps)
        return rng.draw(key, "policy/agents", (self.world.num_agents,)).uniform()


class LeastUsed(Choosing):
    """Those whom the fewest tokens picked lately, by ``record`` of the world's page."""

    def scores(self, obs: TensorDict) -> Tensor:
        """Minus the share of tokens."""
        return -obs["record"][..., 1]


class TrunkAlone(Choosing):
    """No agent learns, the trunk does."""

    def scores(self, obs: TensorDict) -> Tensor:
        """−∞."""
        return torch.full_like(obs["alive"][..., 0], -torch.inf)


class Newcomers(Remembering, Choosing):
    """Each domain has learners of its own, of whom few have learnt an earlier one.

    When a domain begins, ``earlier`` of its learners are drawn from those who have learnt before, and the rest from
    those who never have; where there are too few, fewer learn. In the first domain nobody has. With ``earlier`` 0 …
    ``learners`` the first domain is learnt alike.

    Args:
        learners: Of a domain, beside the root.
        earlier: Of these, who have learnt an earlier domain.
        trunk: Whether the trunk learns in later domains too.

    Raises:
        ConfigError: More are to be drawn than learn.
    """

    world_kwargs: Mapping[str, Any] = {"k": None, "boundaries": "told"}

    def __init__(self, learners: int = 5, earlier: int = 0, trunk: bool = True) -> None:
        self.learners = whole("learners", learners, 1)
        self.earlier = whole("earlier", earlier, 0)
        self.trunk = flag("trunk", trunk)
        if self.earlier > self.learners:
            raise ConfigError(f"earlier is of the {self.learners} learners, and cannot be {self.earlier}")

    def start(self) -> Mapping[str, Tensor | float]:
        """Nobody learns, or has learnt, and no domain is known."""
        return {"learner": 0.0, "veteran": 0.0, "domain": torch.full((1,), -1.0)}

    def scores(self, obs: TensorDict) -> Tensor:
        """0 of the domain's learners."""
        memory, alive = self.memory, obs["alive"][..., 0] > 0
        domain = obs["current_domain"][:, 0].argmax(-1, keepdim=True)
        begins = domain != memory["domain"]
        veteran = torch.where(begins, torch.maximum(memory["veteran"], memory["learner"]), memory["veteran"])
        luck = rng.draw(rng.fold(self.world.keys, domain[:, 0]), "policy/agents", alive.shape[1:]).uniform()
        others = alive & (obs["own_features"][..., 0] == 0)
        later = (veteran > 0).any(-1, keepdim=True)
        old = _first(luck, others & (veteran > 0), self.earlier * later)
        new = _first(luck, others & (veteran == 0), self.learners - self.earlier * later)
        learner = torch.where(begins, (old | new).float(), memory["learner"])
        self.memory = {"learner": learner, "veteran": veteran, "domain": domain.float()}
        return torch.where(learner > 0, 0.0, -torch.inf)

    def trunk_learns(self) -> Tensor | float:
        """Where it is the first domain, or always."""
        return 1.0 if self.trunk else 1.0 - (self.memory["veteran"] > 0).any(-1, keepdim=True).float()


def _first(luck: Tensor, who: Tensor, count: Tensor) -> Tensor:
    """The ``count [W, 1]`` luckiest of some agents, bool ``[W, N]``."""
    own = torch.where(who, luck, -1.0)
    above = (own[..., None, :] > own[..., None]).sum(-1)
    return who & (above < count)
