"""The feed-forward talker as a policy of Stable-Baselines3: messages and answers as choices, learnt from rewards alone.

The actor is the very network of :class:`~studyhall.policies.messages.feedforward.FeedforwardPolicy`, so what was
learnt here is saved as its weights and talks in worlds of any ``slice_size``::

    env = make_sb3("consensus-v0", 256, slice_size=1, vocabulary=10, choices=True, cooperation=0.7)
    model = PPO(MessageSB3Policy, env, n_steps=4, gamma=1.0, gae_lambda=1.0)

With ``slice_size=1`` a sub-environment is one agent before one sample: a reward is then of one message and one answer,
not of a mean over many. With ``gamma=1`` the return is the score of the last answer, as rewards are its improvements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution, MultiCategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from ...envs.bridges.flat import FlatChoices
from ...envs.errors import ConfigError
from ...envs.validation import whole
from .feedforward import FeedforwardNetwork, Situation, hidden, linear, situation

_OPTIONS = ("width", "rounds", "optimizer_class", "optimizer_kwargs")


class MessageSB3Policy(ActorCriticPolicy):
    """Actor and critic for ``consensus-v0`` with ``slice_size=1`` and ``choices=True``.

    What is said after the last round reaches nobody, so it counts neither for the probability of an action nor for
    its entropy.

    Args:
        observation_space: Of a single agent.
        action_space: As ``make_sb3`` tells it.
        lr_schedule: Learning rate by progress remaining.
        width: Of the hidden layers, of actor and critic.
        rounds: Of the worlds.
        optimizer_class: As SB3's ``ActorCriticPolicy`` takes it.
        optimizer_kwargs: Likewise.
        use_sde: False, which algorithms of SB3 say.
        **others: None; arguments of SB3's policies about networks that this one does not have are refused.

    Attributes:
        network: The actor.

    Raises:
        ConfigError: Another world or form of it, or an argument that would have no effect.
    """

    observation_space: spaces.Dict
    action_space: FlatChoices

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space,
        lr_schedule: Any,
        width: int = 128,
        rounds: int = 1,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        use_sde: bool = False,
        **others: Any,
    ) -> None:
        if use_sde or others:
            refused = ", ".join([*(["use_sde"] if use_sde else []), *others])
            raise ConfigError(
                f"MessageSB3Policy is one network of its own and has no {refused}: policy_kwargs may be "
                f"{', '.join(_OPTIONS)}"
            )
        self.width, self.rounds = whole("width", width, 1), whole("rounds", rounds, 1)
        _check_choices(observation_space, action_space)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _build(self, lr_schedule: Any) -> None:
        """Actor, critic and optimiser."""
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))  # drawn after SB3's seed
        view = math.prod(self.observation_space["own_view"].shape or ())
        classes, *symbols = (int(count) for count in self.action_space.nvec)
        self.network = FeedforwardNetwork(
            view,
            classes,
            sum(symbols),
            horizon=self.rounds + 1,
            width=self.width,
            distribution=True,
            generator=generator,
        )
        body = hidden(view, sum(symbols), self.width, generator)
        self.critic = nn.Sequential(body, linear(self.width, 1, generator))
        self.action_dist = _Heard([classes, *symbols])
        make: Any = self.optimizer_class
        self.optimizer = make(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        found = super()._get_constructor_parameters() | {"width": self.width, "rounds": self.rounds}
        return {name: found[name] for name in ("observation_space", "action_space", "lr_schedule", *_OPTIONS)}

    def _decide(self, obs: Mapping[str, Tensor]) -> tuple[Distribution, Tensor]:
        """The distribution of actions, and the value ``[batch, 1]``."""
        seen = self._situation(obs)
        estimate, said = self.network(seen)
        matters = obs["elapsed"][:, 0] < (self.rounds - 0.5) / (
            self.rounds + 1
        )  # whether there is a round to come
        assert isinstance(self.action_dist, _Heard)
        decided = self.action_dist.among(matters).proba_distribution(torch.cat([estimate, said], dim=-1))
        return decided, self.critic(torch.cat(seen, dim=-1))

    @staticmethod
    def _situation(obs: Mapping[str, Tensor]) -> Situation:
        return situation(obs["own_view"].flatten(1), obs["inbox"].flatten(2), obs["heard"], obs["elapsed"])

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions ``[batch, 1 + L]``, values ``[batch, 1]`` and log probabilities ``[batch]``."""
        distribution, value = self._decide(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, value, distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values ``[batch, 1]``, log probabilities and entropies ``[batch]`` of actions taken before."""
        distribution, value = self._decide(obs)
        return value, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        """The distribution of actions."""
        return self._decide(obs)[0]

    def predict_values(self, obs: Any) -> Tensor:
        """Values, ``[batch, 1]``."""
        return self.critic(torch.cat(self._situation(obs), dim=-1))


class _Heard(MultiCategoricalDistribution):
    """An answer and symbols, of which the symbols count only where somebody will hear them."""

    def among(self, matters: Tensor) -> _Heard:
        """The same, where ``matters`` (bool ``[batch]``) says whether somebody will."""
        self._matters = matters
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        parts = zip(self.distribution, actions.unbind(1), strict=True)
        return self._counted([part.log_prob(taken) for part, taken in parts])

    def entropy(self) -> Tensor:
        return self._counted([part.entropy() for part in self.distribution])

    def _counted(self, parts: list[Tensor]) -> Tensor:
        answer, *symbols = parts
        return answer + self._matters * torch.stack(symbols).sum(0)


def _check_choices(observed: spaces.Space, space: spaces.Space) -> None:
    """Raise where an agent does not decide about one sample, by choices, or sees something else."""
    talks = isinstance(observed, spaces.Dict) and {"own_view", "inbox", "heard", "elapsed"} <= set(
        observed.spaces
    )
    if not talks or not isinstance(space, FlatChoices) or space.sizes.get("answer") != 1:
        raise ConfigError(
            f"MessageSB3Policy cannot decide {space}: use consensus-v0 with slice_size=1, choices=True and vocabulary=…"
        )
