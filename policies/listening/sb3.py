"""The tournament as a policy of Stable-Baselines3: ``PPO(SetPolicy, make_sb3("society-v0", learners="mlp"))``."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
)
from torch import Tensor, nn

from ...envs.archive import ABOUT, name_of, write
from ...envs.bridges.flat import FlatActions
from ...envs.errors import ConfigError
from ..sb3_base import OwnNetworkPolicy, described, env_of
from .learned import FORMAT
from .observed import legal_logits, observed_sizes
from .tournament import Tournament

_FLEETING = ["_last_obs", "_last_episode_starts", "ep_info_buffer", "ep_success_buffer", "tensorboard_log"]


class SetPolicy(OwnNetworkPolicy):
    """Actor and critic around one :class:`Tournament`, for the worlds of ``make_sb3`` that host learners.

    Continuous actions are Gaussian around the scores, with one standard deviation for each *kind* of action
    (listening, gating, asking). A number about a source that was not heard has no effect, so it counts neither
    for the probability of an action nor for its entropy.

    A gate begins at 0. A gate of ½, where other actions begin, is confidence to the eighth: everybody follows the most
    confident, and a class that learns from few labels collapses before it has learnt anything.

    Arguments are those of :class:`OwnNetworkPolicy`.

    Raises:
        ConfigError: The world hosts no learners, its form of actions is not scored source by source, or as of
            :class:`OwnNetworkPolicy`.
    """

    def _build_network(self) -> None:
        """The scorer and the standard deviations."""
        sizes = observed_sizes(self.observation_space.spaces, type(self).__name__)
        self.pooled = _pooled(self.action_space, sizes.sources)
        self.scorer = Tournament(sizes.source_features, sizes.own_features, self.pooled, self.width)
        if isinstance(self.action_space, FlatActions):
            self.action_dist = _Heard(self.pooled + sizes.sources)
            self.log_std = nn.Parameter(torch.full((self.pooled + 1,), float(self.log_std_init)))
            if "gate" in self.action_space.sizes:
                assert self.scorer.heads is not None
                nn.init.constant_(self.scorer.heads.bias[-1:], -1.0)  # parts are in order: ask, gate, listen

    def _decide(self, obs: Mapping[str, Tensor]) -> tuple[Distribution, Tensor]:
        """The distribution of actions, and the value ``[batch]``."""
        scores, value = self.scorer(obs)
        if isinstance(self.action_dist, _Heard):
            heard = obs["sources_mask"]
            matters = torch.cat([heard.new_ones(*heard.shape[:-1], self.pooled), heard], dim=-1)
            log_std = torch.cat([self.log_std[:-1], self.log_std[-1:].expand(heard.shape[-1])])
            return self.action_dist.among(matters).proba_distribution(scores, log_std), value
        assert isinstance(self.action_dist, CategoricalDistribution)
        return self.action_dist.proba_distribution(legal_logits(scores, obs["action_mask"])), value


class _Heard(DiagGaussianDistribution):
    """A Gaussian of which only the numbers that have an effect count."""

    def among(self, matters: Tensor) -> _Heard:
        """The same, where ``matters`` (0 or 1, ``[batch, A]``) says which numbers have an effect."""
        self._matters = matters
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        return (self.distribution.log_prob(actions) * self._matters).sum(-1)

    def entropy(self) -> Tensor:
        return (self.distribution.entropy() * self._matters).sum(-1)


def _pooled(space: spaces.Space, sources: int) -> int:
    """How many numbers of an action are about no source; those about sources come last."""
    if isinstance(space, spaces.Discrete) and space.n > sources:
        return int(space.n) - sources
    if isinstance(space, FlatActions) and list(space.sizes)[-1] == "listen":
        return math.prod(space.shape) - sources
    raise ConfigError(
        f"SetPolicy cannot decide {space}: use an environment of make_sb3 with learners=… and "
        "actions='listen', 'gated' or 'discrete'"
    )


def save_set_policy(model: BaseAlgorithm, path: str | os.PathLike[str], **about: Any) -> None:
    """Save a model with a :class:`SetPolicy` whole or not at all: ``model.save``'s file, and a JSON of what it is for.

    Args:
        model: Trained on an environment of ``make_sb3``.
        path: Gets the suffix ``.zip`` where it has none.
        **about: More to remember in the JSON.

    Raises:
        ConfigError: As of :func:`~studyhall.policies.sb3.save_policy`.
    """
    bare = env_of(model, SetPolicy)
    world: Any = bare.world
    learners = bare.origin.get("env_kwargs", {}).get("learners")
    form = {
        "world_kwargs": ({"learners": learners} if _plain(learners) else {}) | {"actions": world.form_name},
        "actions": sorted(world.action_space.spaces),
        "source_features": list(world.source_features),
    }
    file = io.BytesIO()
    model.save(file, exclude=_FLEETING)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(
            ABOUT, json.dumps(described(model, FORMAT, **form, **about), indent=1, default=name_of)
        )
    write(Path(path), file.getvalue())


def _plain(value: Any) -> bool:
    """Whether JSON can hold a value, and there is one."""
    try:
        json.dumps(value)
    except TypeError:
        return False
    return value is not None
