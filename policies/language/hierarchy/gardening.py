"""What every policy of trees of experts is: bids, and one proposal at most in each world."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ....envs.engine import TensorDict, World
from ....envs.errors import ConfigError
from ....envs.language import Hierarchy
from ...policy import MadeInReset, Policy


class Gardening(Policy):
    """Bids and proposes for all agents of a tree."""

    @property
    def garden(self) -> Hierarchy:
        """The world that this policy is bound to."""
        world = self.world
        assert isinstance(world, Hierarchy)
        return world

    def bind(self, world: World) -> None:
        """Get to know the world.

        Raises:
            ConfigError: Its agents are in no tree, or it was made otherwise than this policy needs.
        """
        super().bind(world)
        if not isinstance(world, Hierarchy):
            raise ConfigError(
                f"policy {type(self).__name__} looks after a tree of experts: make a world of hierarchy-v0"
            )
        if world.form == "discrete":
            raise ConfigError("the world takes choices, and this policy bids: make it with actions='bid'")
        self.require(k=world.k, tree=world.tree_form)

    @abstractmethod
    def act(self, obs: TensorDict) -> TensorDict:
        """``bid`` ``[W, N, 1]`` and ``operation`` int64 ``[W, N]``."""


class Remembering(Gardening):
    """One that keeps numbers of each agent ``[W, N]`` and of each world ``[W, 1]``, by name in ``memory``."""

    memory = MadeInReset[TensorDict]()

    @abstractmethod
    def start(self) -> Mapping[str, Tensor]:
        """What each number is at first, ``[N]`` or ``[1]``."""

    def reset(self, mask: Tensor | None = None) -> None:
        """Remember nothing in the worlds of a mask."""
        worlds = self.world.num_worlds
        fresh = {
            name: value.to(self.world.device).expand(worlds, -1).clone()
            for name, value in self.start().items()
        }
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
