"""Bids by rule, for ``collective-v0`` with learners of its own: what a learnt bidder has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from ..envs.errors import ConfigError, unknown
from ..envs.validation import real
from ..envs.world import TensorDict, World
from .policy import Policy


class Bidders(Policy):
    """Bids are a feature of the sample, to a power; nobody imitates anybody, so that modes are no controls here.

    Args:
        by: One of the world's ``sample_features``.
        power: 0 bids alike, an ensemble; high ones leave the word to who is surest.
    """

    def __init__(self, by: str = "confidence", power: float = 4.0) -> None:
        self.by, self.power = by, real("power", power, 0)

    def bind(self, world: World) -> None:
        """Find the feature."""
        features: tuple[str, ...] = getattr(world, "sample_features", ())
        if not features:
            raise ConfigError(
                f"bidders need collective-v0 with learners, {type(world).__name__} hosts none that bid"
            )
        if self.by not in features:
            raise unknown("feature of a sample", self.by, features)
        super().bind(world)
        self._feature = features.index(self.by)

    def act(self, obs: TensorDict) -> TensorDict:
        """Bid for the slice and for the exam."""
        bids = self._bids(obs["samples"])
        answers_bids = self._bids(obs["answers_samples"])
        world = self.world
        batch = (world.num_worlds, world.num_agents)
        silent = {
            key: torch.zeros(*batch, *(space.shape or ()), device=bids.device)
            for key, space in world.action_space.spaces.items()
            if key not in ("bids", "answers_bids")
        }
        return {"bids": bids, "answers_bids": answers_bids, **silent}

    def _bids(self, samples: Tensor) -> Tensor:
        """Of features ``[W, N, R, F]``, ``[W, N, R]``."""
        return samples[..., self._feature] ** self.power
