"""Who is trained by reward: protocols in worlds that host their learners, and talkers in message worlds.

Each knows the form that its worlds take, the policy that learns in them, and how that acts and is kept. Settings and
options that a user leaves open have defaults here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy

from ..envs import spec
from ..envs.bridges.sb3 import WorldVecEnv
from ..envs.collective import Collective
from ..envs.consensus import Consensus
from ..envs.errors import ConfigError
from ..envs.hosted import HostedClassroom
from ..envs.messages import MessageWorld
from ..policies.files import save
from ..policies.learned import ScorerPolicy
from ..policies.messages.feedforward import FeedforwardPolicy
from ..policies.messages.policy import FORMAT
from ..policies.messages.sb3 import MessageSB3Policy
from ..policies.policy import Policy
from ..policies.sb3 import SetPolicy, save_policy
from ..scenarios import Scenario
from .algorithms import A2CSettings, PPOSettings, Settings
from .trained import plain

_MADE_FOR_SB3 = {
    "collective-v0": 'make_sb3("collective-v0", learners="mlp")',
    "swarm-v0": 'make_sb3("swarm-v0", actions="coefficients")',
}
"""Worlds that nobody here is trained in, and how policies of Stable-Baselines3 can be."""


class Trainee(ABC):
    """What training by reward has to know of a kind of world."""

    policy_class: ClassVar[type[ActorCriticPolicy]]
    settings: ClassVar[Mapping[str, Settings]]
    """Those of an algorithm that are not given."""
    options: ClassVar[Mapping[str, int]] = {}
    """Likewise, fields of a :class:`~studyhall.rollouts.train.TrainConfig`."""
    unused: ClassVar[frozenset[str]] = frozenset()
    """Settings that nothing here has."""

    @abstractmethod
    def check(self, scenario: Scenario, given: Mapping[str, Any]) -> None:
        """Raise where a scenario's world is not one to train in.

        Args:
            scenario: With the user's changes.
            given: The user's own arguments of the world.

        Raises:
            ConfigError: Says what to set.
        """

    @abstractmethod
    def world_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """Arguments of the worlds to train in."""

    @abstractmethod
    def held_out_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """Arguments of the worlds that the best is chosen in."""

    @abstractmethod
    def policy_kwargs(self, settings: Settings, env: WorldVecEnv) -> dict[str, Any]:
        """Arguments of the policy."""

    @abstractmethod
    def acting(self, policy: ActorCriticPolicy) -> Policy:
        """What was learnt so far, as it acts without exploring; to be bound to a world."""

    @abstractmethod
    def save(self, model: OnPolicyAlgorithm, path: Path, about: Mapping[str, Any]) -> None:
        """Write what was learnt so far as a policy that runs."""


class Listeners(Trainee):
    """A :class:`SetPolicy` decides whom the learners of a world listen to."""

    policy_class = SetPolicy
    settings: ClassVar[Mapping[str, Settings]] = {"ppo": PPOSettings(), "a2c": A2CSettings()}

    def check(self, scenario: Scenario, given: Mapping[str, Any]) -> None:
        """Raise where listening is not what is decided in a scenario's world, or not as it is set."""
        found = spec(scenario.env)
        world = found.load(hosted=found.hosted is not None)
        if not issubclass(world, HostedClassroom) or issubclass(world, Collective):
            made = _MADE_FOR_SB3.get(
                found.id, f'make_sb3("{found.id}", …) (make_vec where actions have no bounds)'
            )
            raise ConfigError(
                f"studyhall train teaches listeners and talkers, and {found.id} has neither: train it through "
                f"{made}, with a policy of Stable-Baselines3 (MultiInputPolicy)"
            )
        if found.hosted and scenario.env_kwargs.get("learners") is None:
            raise ConfigError(f"{scenario.name} does not host its learners: add --set learners=mlp")
        if scenario.env_kwargs.get("actions") == "targets":
            raise ConfigError("train takes actions=listen, gated or discrete, got targets")

    def world_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """The scenario's."""
        return dict(scenario.env_kwargs)

    def held_out_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """The same: worlds of another seed domain share nothing with these."""
        return self.world_kwargs(scenario)

    def policy_kwargs(self, settings: Settings, env: WorldVecEnv) -> dict[str, Any]:
        """Of :class:`SetPolicy`."""
        return {"width": settings.width, "log_std_init": settings.log_std_init}

    def acting(self, policy: ActorCriticPolicy) -> Policy:
        """The scorer's best guess."""
        assert isinstance(policy, SetPolicy)
        return ScorerPolicy(policy.scorer)

    def save(self, model: OnPolicyAlgorithm, path: Path, about: Mapping[str, Any]) -> None:
        """As both SB3 and studyhall load it."""
        save_policy(model, path, **about)


class Talkers(Trainee):
    """A :class:`MessageSB3Policy` chooses symbols and classes.

    A world deals one sample, so that a reward is of one message and one answer. Where the scenario does not say, there
    are 10 symbols, and who speaks shares in what others make of it (``cooperation=0.7``: with 1, one's own answer is
    rewarded no more than anyone's, and is learnt more slowly).
    """

    policy_class = MessageSB3Policy
    settings: ClassVar[Mapping[str, Settings]] = {
        "ppo": PPOSettings(
            learning_rate=3e-3,
            n_steps=4,
            gamma=1.0,
            gae_lambda=1.0,
            ent_coef=0.01,
            width=128,
            batch_size=2048,
        ),
        "a2c": A2CSettings(
            learning_rate=3e-3, n_steps=4, gamma=1.0, gae_lambda=1.0, ent_coef=0.01, width=128
        ),
    }
    options: ClassVar[Mapping[str, int]] = {"worlds": 512}
    unused = frozenset({"log_std_init"})
    form: ClassVar[Mapping[str, Any]] = {"slice_size": 1, "choices": True}
    held_out_rows: ClassVar[int] = 64

    def check(self, scenario: Scenario, given: Mapping[str, Any]) -> None:
        """Raise where answers are no choices, or the form that training by reward needs was set otherwise."""
        if (
            not issubclass(spec(scenario.env).load(), Consensus)
            or scenario.env_kwargs.get("data") == "vector"
        ):
            raise ConfigError(
                f"answers in {scenario.name} are no choices of classes: train it with --algo backprop"
            )
        for name, value in self.form.items():
            if given.get(name, value) != value:
                raise ConfigError(f"{name} cannot be set: training by reward takes {name}={value}")

    def world_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """The scenario's, in the form that is trained."""
        return {"vocabulary": 10, "cooperation": 0.7, **scenario.env_kwargs, **self.form}

    def held_out_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """Larger slices of the exam split: never of the test split, which runs and reports measure."""
        return {**self.world_kwargs(scenario), "slice_size": self.held_out_rows, "split": "exam"}

    def policy_kwargs(self, settings: Settings, env: WorldVecEnv) -> dict[str, Any]:
        """Of :class:`MessageSB3Policy`."""
        return {"width": settings.width, "rounds": env.world.horizon - 1}

    def acting(self, policy: ActorCriticPolicy) -> FeedforwardPolicy:
        """The likeliest symbols and classes."""
        assert isinstance(policy, MessageSB3Policy)
        found = FeedforwardPolicy(width=policy.width)
        found.load_weights(policy.network.state_dict())
        return found

    def save(self, model: OnPolicyAlgorithm, path: Path, about: Mapping[str, Any]) -> None:
        """As message policies are, the critic left out."""
        policy, env = model.policy, model.get_env()
        assert isinstance(policy, MessageSB3Policy)
        assert isinstance(env, WorldVecEnv)
        described = {
            "format": FORMAT,
            "policy": "feedforward",
            "policy_kwargs": {"width": policy.width},
            "env": env.origin["env"],
            "env_kwargs": plain(env.origin["env_kwargs"]),
            "algorithm": type(model).__name__,
            "timesteps": model.num_timesteps,
            **about,
        }
        save(path, described, policy.network.state_dict())


def trainee_of(scenario: Scenario) -> Trainee:
    """Who is trained in a scenario's world."""
    talks = issubclass(spec(scenario.env).load(), MessageWorld)
    return Talkers() if talks else Listeners()
