"""The bid scorer as a policy of Stable-Baselines3: ``PPO(BidPolicy, make_sb3("collective-v0", learners="mlp"))``.

Where nobody imitates anybody and all learn from all, bids change nothing of what specialists learn: take ``gamma=0``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import DiagGaussianDistribution
from torch import Tensor, nn

from ....envs.archive import save
from ....envs.bridges.flat import FlatActions
from ....envs.errors import ConfigError
from ...listening.observed import OWN
from ...sb3_base import OwnNetworkPolicy, described, env_of
from .bidders import FORMAT
from .scorer import BidScorer


class BidPolicy(OwnNetworkPolicy):
    """Gaussian bids for the exam around a :class:`BidScorer`'s, all of one standard deviation.

    Bids for the slice have no effect on the reward (where nothing has a price) and no noise, and nobody is imitated:
    neither counts for the probability of an action.

    Arguments are those of :class:`~studyhall.policies.sb3_base.OwnNetworkPolicy`.

    Raises:
        ConfigError: The world is no collective that hosts its specialists, or as of ``OwnNetworkPolicy``.
    """

    action_space: FlatActions

    def _build_network(self) -> None:
        """The scorer and the standard deviation."""
        self.sizes = _sizes(self.observation_space, self.action_space)
        observed = self.observation_space.spaces
        own = sum(math.prod(observed[key].shape or ()) for key in OWN)
        self.scorer = BidScorer((observed["answers_samples"].shape or ())[-1], own, self.width)
        self.action_dist = DiagGaussianDistribution(self.sizes["answers_bids"])
        self.log_std = nn.Parameter(torch.full((1,), float(self.log_std_init)))

    def _decide(self, obs: Mapping[str, Tensor]) -> tuple[DiagGaussianDistribution, Tensor]:
        """The distribution of bids for the exam, and the value ``[batch]``."""
        bids, value = self.scorer(obs["answers_samples"], obs)
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        return self.action_dist.proba_distribution(bids, self.log_std.expand(bids.shape[-1])), value

    def _whole(self, bids: Tensor, obs: Mapping[str, Tensor]) -> Tensor:
        """Flat actions ``[batch, A]`` around bids for the exam, ``[batch, E]``."""
        said = {"answers_bids": bids, "bids": self.scorer(obs["samples"], obs)[0]}
        nobody = {name: bids.new_full((len(bids), size), -1.0) for name, size in self.sizes.items()}
        return torch.cat([said.get(name, nothing) for name, nothing in nobody.items()], dim=-1)

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions ``[batch, A]``, values ``[batch, 1]`` and log probabilities ``[batch]``."""
        bids, value, log_prob = super().forward(obs, deterministic)
        return self._whole(bids, obs), value, log_prob

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        bids = self.get_distribution(observation).get_actions(deterministic=deterministic)
        return self._whole(bids, observation)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values ``[batch, 1]``, log probabilities and entropies ``[batch]`` of actions taken before."""
        parts = dict(zip(self.sizes, actions.split(list(self.sizes.values()), dim=-1), strict=True))
        return super().evaluate_actions(obs, parts["answers_bids"])


def _sizes(observed: spaces.Dict, acted: spaces.Space) -> Mapping[str, int]:
    """How many numbers of a flat action are about what.

    Raises:
        ConfigError: The world takes no bids for what it shows.
    """
    shown = {"samples", "answers_samples", *OWN} <= set(observed.spaces)
    if not shown or not isinstance(acted, FlatActions) or not {"bids", "answers_bids"} <= set(acted.sizes):
        raise ConfigError(
            'BidPolicy bids for specialists that the world hosts: use make_sb3("collective-v0", learners="mlp")'
        )
    return acted.sizes


def save_bids(model: BaseAlgorithm, path: str | os.PathLike[str], **about: Any) -> None:
    """Save a model with a :class:`BidPolicy` whole or not at all, as a policy of studyhall; the critic is part of it.

    Args:
        model: Trained on an environment of ``make_sb3``.
        path: Gets the suffix ``.zip`` where it has none.
        **about: More to remember.

    Raises:
        ConfigError: As of :func:`~studyhall.policies.sb3.save_policy`.
    """
    world: Any = env_of(model, BidPolicy).world
    told = described(model, FORMAT, sample_features=list(world.sample_features), **about)
    policy: Any = model.policy
    save(Path(path), told, policy.scorer.state_dict())
