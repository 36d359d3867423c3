"""Policies that keep numbers of what they have seen, of each agent or of each world."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict
from ..policy import MadeInReset, Policy


class Remembering(Policy):
    """Keeps numbers of each agent ``[W, N]`` or of each world ``[W, 1]``, by name in ``memory``."""

    memory = MadeInReset[TensorDict]()

    @abstractmethod
    def start(self) -> Mapping[str, Tensor | float]:
        """What each is at first: ``[N]``, ``[1]``, or a number for every agent."""

    def reset(self, mask: Tensor | None = None) -> None:
        """Remember nothing in the worlds of a mask."""
        world = self.world
        fresh = {}
        for name, value in self.start().items():
            given = value if isinstance(value, Tensor) else torch.full((world.num_agents,), value)
            fresh[name] = given.to(world.device).expand(world.num_worlds, -1).clone()
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
