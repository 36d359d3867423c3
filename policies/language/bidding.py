"""What every rule of who learns is: scores of the groups, which become bids of the same order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError
from ...envs.language import Modular
from ..policy import MadeInReset, Policy


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


class Remembering(Bidding):
    """A rule that keeps numbers of each group, ``memory`` of tensors ``[W, N]`` by name."""

    memory = MadeInReset[TensorDict]()

    @abstractmethod
    def start(self) -> Mapping[str, float]:
        """What each number is at first."""

    def reset(self, mask: Tensor | None = None) -> None:
        """Remember nothing in the worlds of a mask."""
        world = self.world
        shape = (world.num_worlds, world.num_agents)
        fresh = {name: torch.full(shape, value, device=world.device) for name, value in self.start().items()}
        if mask is not None:
            fresh = {k: torch.where(mask[:, None], v, self.memory[k]) for k, v in fresh.items()}
        self.memory = fresh

    def state_dict(self) -> dict[str, Any]:
        """The memory."""
        return {name: value.clone() for name, value in self.memory.items()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """As :meth:`Policy.load_state_dict`."""
        super().load_state_dict(saved)
        self.memory = {name: value.to(self.world.device).clone() for name, value in saved.items()}


def just_learnt(obs: TensorDict) -> Tensor:
    """Who learnt the last slice, bool ``[W, N]``."""
    return (obs["record"][..., 1] == 0) & (obs["elapsed"][..., 0] > 0)


def ranks(scores: Tensor) -> Tensor:
    """How many of its world each score is above, int64 ``[W, N]``; equal ones have the same."""
    return (scores[..., None] > scores[..., None, :]).sum(-1)


def places(scores: Tensor) -> Tensor:
    """The same from 0, the lowest, to 1, the highest, ``[W, N]``."""
    return ranks(scores) / max(1, scores.shape[-1] - 1)
