"""The set scorer as a policy of Stable-Baselines3: ``PPO(SetPolicy, make_sb3("society-v0", learners="mlp"))``."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from abc import abstractmethod
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
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from torch import Tensor, nn

from ..envs.bridges.flat import FlatActions
from ..envs.bridges.sb3 import WorldVecEnv
from ..envs.errors import ConfigError
from .files import ABOUT, name_of, write
from .learned import FORMAT
from .set_scorer import SetScorer, legal_logits, observed_sizes

_OPTIONS = ("width", "log_std_init", "optimizer_class", "optimizer_kwargs")
_OF_REPLAY = ("actor", "critic", "q_net", "quantile_net")  # of SAC, TD3, DQN and their kin
_FLEETING = ["_last_obs", "_last_episode_starts", "ep_info_buffer", "ep_success_buffer", "tensorboard_log"]


class OwnNetworkPolicy(ActorCriticPolicy):
    """Actor and critic in one network of our own.

    Args:
        observation_space: Of a single agent.
        action_space: As ``make_sb3`` tells it.
        lr_schedule: Learning rate by progress remaining.
        width: Of the network's hidden layers.
        log_std_init: Initial logarithm of the standard deviations; wide exploration makes trainings more alike.
        optimizer_class: As SB3's ``ActorCriticPolicy`` takes it.
        optimizer_kwargs: Likewise.
        use_sde: False, which algorithms of SB3 say.
        **others: None; arguments of SB3's policies about networks that this one does not have are refused.

    Raises:
        ConfigError: An argument would have no effect, or the algorithm (DQN, SAC, TD3) asks for networks that are not
            there.
    """

    observation_space: spaces.Dict

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space,
        lr_schedule: Any,
        width: int = 64,
        log_std_init: float = 0.0,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        use_sde: bool = False,
        **others: Any,
    ) -> None:
        name = type(self).__name__
        if use_sde:
            raise ConfigError(f"{name} explores by its own Gaussians: leave out use_sde")
        if others:
            raise ConfigError(
                f"{name} is one network of its own and has no {', '.join(others)}: policy_kwargs may be "
                f"{', '.join(_OPTIONS)}"
            )
        if not isinstance(observation_space, spaces.Dict):
            raise ConfigError(f"{name} reads observations by name: make the environment with flat=False")
        self.width = width
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            log_std_init=log_std_init,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _build(self, lr_schedule: Any) -> None:
        """The network, the standard deviations and the optimiser."""
        self._build_network()
        make: Any = self.optimizer_class
        self.optimizer = make(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    @abstractmethod
    def _build_network(self) -> None:
        """The network and the standard deviations."""

    @abstractmethod
    def _decide(self, obs: Mapping[str, Tensor]) -> tuple[Distribution, Tensor]:
        """The distribution of actions, and the value ``[batch]``."""

    def _get_constructor_parameters(self) -> dict[str, Any]:
        found = super()._get_constructor_parameters() | {"width": self.width}
        return {name: found[name] for name in ("observation_space", "action_space", "lr_schedule", *_OPTIONS)}

    def __getattr__(self, name: str) -> Any:
        if name in _OF_REPLAY:  # the first that such an algorithm asks for
            raise ConfigError(
                f"{type(self).__name__} has no {name}: train it with PPO or A2C, which learn on the policy (replay "
                "buffers do not fit worlds whose learners change as they play)"
            )
        return super().__getattr__(name)

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions ``[batch, …]``, values ``[batch, 1]`` and log probabilities ``[batch]``."""
        distribution, value = self._decide(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, value[:, None], distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values ``[batch, 1]``, log probabilities and entropies ``[batch]`` of actions taken before."""
        distribution, value = self._decide(obs)
        return value[:, None], distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        """The distribution of actions."""
        return self._decide(obs)[0]

    def predict_values(self, obs: Any) -> Tensor:
        """Values, ``[batch, 1]``."""
        return self._decide(obs)[1][:, None]


class SetPolicy(OwnNetworkPolicy):
    """Actor and critic around one :class:`SetScorer`, for the worlds of ``make_sb3`` that host learners.

    Continuous actions are Gaussian around the scores, with one standard deviation for each *kind* of action
    (listening, gating, asking). A number about a source that was not heard has no effect, so it counts neither
    for the probability of an action nor for its entropy.

    Arguments are those of :class:`OwnNetworkPolicy`.

    Raises:
        ConfigError: The world hosts no learners, its form of actions is not scored source by source, or as of
            :class:`OwnNetworkPolicy`.
    """

    def _build_network(self) -> None:
        """The scorer and the standard deviations."""
        sizes = observed_sizes(self.observation_space.spaces, "SetPolicy")
        self.pooled = _pooled(self.action_space, sizes.sources)
        self.scorer = SetScorer(sizes.source_features, sizes.own_features, self.pooled, self.width)
        if isinstance(self.action_space, FlatActions):
            self.action_dist = _Heard(self.pooled + sizes.sources)
            self.log_std = nn.Parameter(torch.full((self.pooled + 1,), float(self.log_std_init)))

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


def save_policy(model: BaseAlgorithm, path: str | os.PathLike[str], **about: Any) -> None:
    """Save a model whole or not at all, as a policy that ``make_policy`` and ``studyhall run`` take.

    Of a :class:`SetPolicy` the file is what ``model.save`` writes with one more entry, a JSON that says which worlds
    the policy is for. ``PPO.load`` reads the first (and unpickles it),
    :class:`~studyhall.policies.learned.LearnedPolicy` the second and the bare weights. Of a
    ``"MultiInputPolicy"`` and a :class:`~studyhall.policies.bids.sb3.BidPolicy` it holds weights and that JSON alone.

    Args:
        model: Trained on an environment of ``make_sb3``, with one of these policies.
        path: Gets the suffix ``.zip`` where it has none.
        **about: More to remember in the JSON.

    Raises:
        ConfigError: The model's policy is none of these, its environment not one of ``make_sb3``, or what it
            sees is normalised on the way (``VecNormalize`` with ``norm_obs``), which the file would not know.
    """
    from .bids.sb3 import BidPolicy, save_bids  # both of which need this module
    from .multi_input import save_multi_input

    for kind, saves in ((MultiInputActorCriticPolicy, save_multi_input), (BidPolicy, save_bids)):
        if isinstance(model.policy, kind):
            saves(model, path, **about)
            return
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


def env_of(model: BaseAlgorithm, policy: type[ActorCriticPolicy]) -> WorldVecEnv:
    """The environment a model was trained on, if its policy is one that can be saved.

    Args:
        model: Trained on an environment of ``make_sb3``.
        policy: The class its policy must be of.

    Raises:
        ConfigError: As of :func:`save_policy`.
    """
    env = model.get_env()
    bare = None if env is None else env.unwrapped
    if not isinstance(model.policy, policy) or not isinstance(bare, WorldVecEnv):
        raise ConfigError(
            f"only a model with {policy.__name__} and an environment of make_sb3 can be saved as a policy"
        )
    normalised = model.get_vec_normalize_env()
    if normalised is not None and normalised.norm_obs:
        raise ConfigError("a policy is saved without VecNormalize's statistics: train with norm_obs=False")
    return bare


def described(model: BaseAlgorithm, form: str, **about: Any) -> dict[str, Any]:
    """What a file says of a model: its format, the world it was trained in, and how long."""
    env: Any = model.get_env()
    trained = {"algorithm": type(model).__name__, "timesteps": model.num_timesteps}
    return {"format": form, **env.unwrapped.origin, **trained, **about}


def _plain(value: Any) -> bool:
    """Whether JSON can hold a value, and there is one."""
    try:
        json.dumps(value)
    except TypeError:
        return False
    return value is not None
