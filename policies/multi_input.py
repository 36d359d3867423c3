"""Policies of Stable-Baselines3's own, as they act in a world: its ``"MultiInputPolicy"``, whatever it was trained for.

The file holds bare weights; the network itself is made anew for the world it acts in. What is observed and decided must
be as it was in training, so a network that sees nothing whose size hangs on the number of agents fits worlds of any.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor
from torch import Tensor

from ..envs.archive import damaged, save
from ..envs.bridges.flat import Flat, trainable_space
from ..envs.engine import TensorDict, World
from ..envs.errors import ConfigError
from .files import POLICY, read
from .policy import Policy, require_engine
from .sb3_base import described, env_of

FORMAT = "studyhall multi-input policy, 1"


class MultiInputPolicy(Policy):
    """A policy of Stable-Baselines3 that acts: the mean action of every agent, or its likeliest choices.

    Args:
        policy: Trained on the environment that ``make_sb3`` makes of such a world; on the world's device.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self.policy = policy

    def bind(self, world: World) -> None:
        """Find out how the world takes flat actions.

        Raises:
            ConfigError: It takes none.
        """
        super().bind(world)
        self._space: Flat = trainable_space(world.action_space)

    def act(self, obs: TensorDict) -> TensorDict:
        """Actions ``[W, N, …]``."""
        world = self.world
        with torch.no_grad():
            seen = {name: value.flatten(0, 1) for name, value in obs.items()}
            chosen = self.policy.get_distribution(seen).get_actions(deterministic=True)
        flat = chosen.unflatten(0, (world.num_worlds, world.num_agents))
        return self._space.split(flat)


class LearnedMultiInput(MultiInputPolicy):
    """One from a file.

    Nothing in the file is ever unpickled: weights are loaded as bare tensors, the rest is JSON.

    Args:
        source: A zip that ``studyhall train`` or :func:`save_multi_input` wrote; see
            :func:`~studyhall.policies.files.trained`.

    Attributes:
        about: What the file says of itself.
        world_kwargs: The form of actions that it was trained in, where its world has several.

    Raises:
        ConfigError: There is no such file or name, or the file is no policy of ours.
    """

    def __init__(self, source: str) -> None:
        self.source = str(source)
        self.about, self._weights = read(self.source, FORMAT)
        form = self.about.get("env_kwargs", {}).get("actions")
        if isinstance(form, str):
            self.world_kwargs = {"actions": form}
        try:
            self._forms = {name: dict(self.about[name]) for name in ("observations", "actions")}
        except (KeyError, TypeError, ValueError) as fault:
            raise damaged(self.source, POLICY) from fault

    def bind(self, world: World) -> None:
        """Make the network for the world, and go to its device.

        Raises:
            ConfigError: The world shows or asks for something else than it was trained for; says what differs.
        """
        require_engine(world)
        for what, now in _forms(world).items():
            then = self._forms[what]
            if list(now.items()) != list(then.items()):
                differ = [name for name in {**then, **now} if then.get(name) != now.get(name)]
                raise ConfigError(
                    f"policy {self.source} was trained with other {what} than this world's (they differ in "
                    f"{', '.join(differ) or 'order'}): make it like {self.about.get('env')} with "
                    f"{self.about.get('env_kwargs')}"
                )
        try:
            features = CombinedExtractor(world.observation_space).features_dim
            layers = _layers(self._weights, features)
            policy = network(world.observation_space, trainable_space(world.action_space), layers)
            policy.load_state_dict(self._weights)
        except (RuntimeError, TypeError, ValueError) as fault:
            raise damaged(self.source, POLICY) from fault
        policy.set_training_mode(False)
        super().__init__(policy.requires_grad_(False).to(world.device))
        super().bind(world)


def network(observed: spaces.Dict, acted: spaces.Space, layers: Sequence[int]) -> MultiInputActorCriticPolicy:
    """The network, untrained."""
    with torch.random.fork_rng(devices=[]):  # SB3 draws its weights from the global generator
        return MultiInputActorCriticPolicy(observed, acted, lambda _: 0.0, net_arch=list(layers))


def _layers(weights: Mapping[str, Tensor], features: int) -> list[int]:
    """Widths of the hidden layers that the weights are of, which read that many features.

    An activation lies between two.

    Raises:
        ValueError: The sizes do not fit together.
    """
    found: list[int] = []
    while (name := f"mlp_extractor.policy_net.{2 * len(found)}.weight") in weights:
        width, width_before = weights[name].shape
        if width_before != (found[-1] if found else features):
            raise ValueError(f"{name} does not fit the layer before")
        found.append(width)
    return found


def _forms(world: World) -> dict[str, dict[str, Any]]:
    """By name what is observed and decided, as JSON holds it; bounds matter to actions alone."""
    return {
        "observations": {
            name: list(part.shape) if isinstance(part, spaces.Box) else str(part)
            for name, part in world.observation_space.spaces.items()
        },
        "actions": {name: str(part) for name, part in world.action_space.spaces.items()},
    }


def save_multi_input(model: BaseAlgorithm, path: str | os.PathLike[str], **about: Any) -> None:
    """Save a model with a ``"MultiInputPolicy"`` whole or not at all, as a policy of studyhall.

    Args:
        model: Trained on an environment of ``make_sb3``, its ``net_arch`` a list of widths.
        path: Gets the suffix ``.zip`` where it has none.
        **about: More to remember.

    Raises:
        ConfigError: As of :func:`~studyhall.policies.sb3.save_policy`, or the network is of another build.
    """
    world = env_of(model, MultiInputActorCriticPolicy).world
    policy: Any = model.policy
    again = network(
        policy.observation_space, policy.action_space, _layers(policy.state_dict(), policy.features_dim)
    )
    as_is = type(policy) is MultiInputActorCriticPolicy and again.activation_fn is policy.activation_fn
    if (
        not as_is
        or type(policy.features_extractor) is not CombinedExtractor
        or _shapes(again) != _shapes(policy)
    ):
        raise ConfigError(
            "a MultiInputPolicy is saved where net_arch is a list of widths and the rest is as SB3 has it"
        )
    save(Path(path), described(model, FORMAT, **_forms(world), **about), policy.state_dict())


def _shapes(policy: ActorCriticPolicy) -> dict[str, tuple[int, ...]]:
    weights: Mapping[str, Tensor] = policy.state_dict()
    return {name: tuple(value.shape) for name, value in weights.items()}
