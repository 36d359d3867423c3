"""Experts first, then what they become: the frame of those who go on with the one network that each has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...envs.engine import TensorDict
from ...envs.errors import ConfigError
from ...learners import Average
from ..policy import Finished, MadeInReset
from .base import Socialized
from .stages import Stage

_EXPERTS, _GOES_ON = range(2)


class TwoStages(Socialized):
    """An expert learns its own classes, is kept as it is then, and goes on.

    :meth:`logits` have the names "expert", the expert that was kept (until then as it is), and :attr:`main`.

    Args:
        options: As of :class:`Socialized`; ``shares`` has the first stage's share of the episode.

    Attributes:
        before: The experts as they were in the end of the first stage; until then anything.

    Raises:
        ConfigError: Other than one share.
    """

    leaves = ("expert",)
    before = MadeInReset[Average]()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if len(self.shares) != 1:
            raise ConfigError(f"shares are of the first stage of two, got {len(self.shares)}")

    def reset(self, mask: Tensor | None = None) -> None:
        """Fresh experts in the worlds of ``mask``."""
        super().reset(mask)
        if mask is None:
            self.before = self.experts.average(decay=1.0)  # follows nobody: it changes where it begins anew
        else:
            self.before.reset(mask)

    def say(self, obs: TensorDict, stage: Stage) -> TensorDict:
        """What :meth:`speak` says, in the second stage only."""
        return self.speak(obs) if stage.number == _GOES_ON else {}

    def learn(self, obs: TensorDict, stage: Stage, allowed: Tensor) -> None:
        """Labels of one's own; in the second stage what :meth:`go_on` takes from others."""
        rates = stage.rate[:, None] * allowed
        if stage.number == _EXPERTS:
            self.learn_own(obs, rates)
            return
        if stage.begins is not None:
            self.before.reset(stage.begins)
        self.go_on(obs, rates)

    def speak(self, obs: TensorDict) -> TensorDict:
        """What is said in the second stage: nothing, unless a subclass does."""
        return {}

    @abstractmethod
    def go_on(self, obs: TensorDict, rates: Tensor) -> None:
        """Learn in the second stage, at rates ``[W, N]``, 0 in worlds that are not in it."""

    def logits(self, x: Tensor) -> dict[str, Tensor]:
        """See the class."""
        now = self.experts.logits(x)
        kept = torch.from_numpy(self._kept()).to(x.device)
        return {
            "expert": torch.where(kept[:, None, None, None], self.before.logits(x), now),
            self.main: now,
        }

    def modules(self, world: int) -> dict[str, Finished]:
        """Experts as they were in the end of their stage, ``expert_K``, when it is over."""
        if not self.stages.over(int(self.lesson[world])):
            return {}
        experts = self.before if self._kept()[world] else self.experts
        of_expert, _ = self.networks.kinds
        return {
            f"expert_{agent}": Finished(experts.extract(world, agent), "expert", of_expert, agent, {})
            for agent in range(self.world.num_agents)
        }

    def _kept(self) -> np.ndarray:
        """The worlds in which experts were kept, bool ``[W]``: where the first lesson of the second stage has begun."""
        return self.stages.number(self.lesson) == _GOES_ON

    def state_dict(self) -> dict[str, Any]:
        """Networks, those that were kept, and what was told."""
        return super().state_dict() | {"before": self.before.state_dict()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.before.load_state_dict(saved["before"])
