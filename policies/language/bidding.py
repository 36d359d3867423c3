"""What every rule of who learns is: scores of the groups, which become bids of the same order."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError
from ...envs.language import Modular
from ..policy import Policy


class Bidding(Policy):
    """Bids for the groups of a language model, by :meth:`scores`."""

    @property
    def groups(self) -> Modular:
        """The world that this policy is bound to."""
        world = self.world
        assert isinstance(world, Modular)
        return world

    def bind(self, world: World) -> None:
        """Get to know the world.

        Raises:
            ConfigError: Its agents are no groups of a language model, or it was made otherwise than this rule needs.
        """
        super().bind(world)
        if not isinstance(world, Modular):
            raise ConfigError(
                f"policy {type(self).__name__} bids for groups of a language model: make a world of modular-v0"
            )
        if world.form == "discrete":
            raise ConfigError("the world takes choices, and rules bid: make it with actions='bid' or 'rate'")
        made = {"measure": world.measure, "k": world.k, "actions": world.form}
        self.require(**made, order=world.texts.order, boundaries=world.boundaries)

    @abstractmethod
    def scores(self, obs: TensorDict) -> Tensor:
        """How much each group should learn, ``[W, N]``; −∞ rests whatever the others do."""

    def act(self, obs: TensorDict) -> TensorDict:
        """Bids of the order of the scores, equal where these are."""
        scores = self.scores(obs)
        bids = (ranks(scores) + 1.0) / self.world.num_agents
        return {"bid": torch.where(scores > -torch.inf, bids, 0.0)[..., None]}


def just_learnt(obs: TensorDict) -> Tensor:
    """Who learnt the last slice, bool ``[W, N]``."""
    return (obs["record"][..., 1] == 0) & (obs["elapsed"][..., 0] > 0)


def ranks(scores: Tensor) -> Tensor:
    """How many of its world each score is above, int64 ``[W, N]``; equal ones have the same."""
    return (scores[..., None] > scores[..., None, :]).sum(-1)


def places(scores: Tensor) -> Tensor:
    """The same from 0, the lowest, to 1, the highest, ``[W, N]``."""
    return ranks(scores) / max(1, scores.shape[-1] - 1)
