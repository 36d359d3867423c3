"""What policies of Stable-Baselines3 share here: one network of their own, and what a file says of a trained model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from ..envs.bridges.sb3 import WorldVecEnv
from ..envs.errors import ConfigError

_OPTIONS = ("width", "log_std_init", "optimizer_class", "optimizer_kwargs")
_OF_REPLAY = ("actor", "critic", "q_net", "quantile_net")  # of SAC, TD3, DQN and their kin


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
