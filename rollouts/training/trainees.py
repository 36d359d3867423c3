"""Who is trained by reward: protocols and bidders in worlds that host their learners, talkers, and anyone else.

Each knows the form that its worlds take, the policy that learns in them, and how that acts and is kept. Settings and
options that a user leaves open have defaults here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space

from ...envs import spec
from ...envs.archive import save
from ...envs.bridges.sb3 import WorldVecEnv
from ...envs.errors import ConfigError
from ...policies.collective.bids.bidders import ScorerBids
from ...policies.collective.bids.sb3 import BidPolicy, save_bids
from ...policies.listening.learned import ScorerPolicy
from ...policies.messages.feedforward import FeedforwardPolicy
from ...policies.messages.policy import FORMAT
from ...policies.messages.sb3 import MessageSB3Policy
from ...policies.multi_input import MultiInputPolicy, save_multi_input
from ...policies.policy import Policy
from ...policies.sb3 import SetPolicy, save_policy
from ...policies.sb3_base import described
from ...scenarios import Scenario
from .algorithms import A2CSettings, PPOSettings, Settings


class Trainee(ABC):
    """What training by reward has to know of a kind of world."""

    policy_class: ClassVar[type[ActorCriticPolicy]]
    settings: ClassVar[Mapping[str, Settings]]
    """Those of an algorithm that are not given."""
    options: ClassVar[Mapping[str, int]] = {}
    """Likewise, fields of a :class:`~studyhall.rollouts.training.by_reward.RewardConfig`."""
    unused: ClassVar[frozenset[str]] = frozenset()
    """Settings that nothing here has."""
    figure: ClassVar[str] = "return"
    """Metric of held-out worlds that the best is chosen by."""

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
        _check_hosted(scenario)
        if scenario.env_kwargs.get("actions") == "targets":
            raise ConfigError("train takes actions=listen, gated or discrete, got targets")

    def world_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """Arguments for the training worlds: the scenario's own."""
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
        if scenario.env_kwargs.get("data") == "vector":
            raise _no_choices(scenario)
        for name, value in self.form.items():
            if given.get(name, value) != value:
                raise ConfigError(f"{name} cannot be set: training by reward takes {name}={value}")

    def world_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """Arguments for the training worlds: the scenario's own, in the form that is trained."""
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
        policy: Any = model.policy
        talks = {"policy": "feedforward", "policy_kwargs": {"width": policy.width}}
        save(path, described(model, FORMAT, **talks, **about), policy.network.state_dict())


class Bidders(Trainee):
    """A :class:`BidPolicy` bids for the specialists of a collective.

    One's own score, which bids do not move, is noise in the reward, so contributions weigh more in training; and as
    bids shape nothing that comes later, the discount is 0. Training takes an exam of 20 items in every step; the
    scenario's own exams are those of the held-out worlds.
    """

    policy_class = BidPolicy
    settings: ClassVar[Mapping[str, Settings]] = {
        "ppo": PPOSettings(
            learning_rate=3e-3,
            n_steps=101,
            gamma=0.0,
            width=32,
            batch_size=4040,
            n_epochs=10,
            clip_range=0.3,
        ),
        "a2c": A2CSettings(learning_rate=3e-3, gamma=0.0, width=32),
    }
    options: ClassVar[Mapping[str, int]] = {"worlds": 32, "timesteps": 640_000, "eval_every": 64_000}
    figure = "collective_score"
    form: ClassVar[Mapping[str, Any]] = {"exam_size": 20, "exam_every": 1, "contribution_weight": 10.0}
    held_out_items: ClassVar[int] = 200

    def check(self, scenario: Scenario, given: Mapping[str, Any]) -> None:
        """Raise where nobody bids in a scenario's world, or bids do more there than this training sees."""
        _check_hosted(scenario)
        weight = self.form["contribution_weight"]
        if given.get("contribution_weight", weight) != weight:
            raise ConfigError(
                f"contribution_weight cannot be set: training by reward takes contribution_weight={weight:g}"
            )
        for price in ("consult_price", "byte_price"):
            if scenario.env_kwargs.get(price, 0.0):
                raise ConfigError(
                    f"{price} charges bids for the slice, which this training does not see: train with {price}=0"
                )
        if scenario.env_kwargs.get("learn_from") == "consulted":
            raise ConfigError(
                "with learn_from=consulted bids decide what is learnt, which this training does not look ahead to: "
                "train with learn_from=all"
            )

    def world_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """Arguments for the training worlds: the scenario's own, with a small exam in every step."""
        return {**scenario.env_kwargs, **self.form}

    def held_out_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """Arguments for the held-out worlds: the scenario's own, with larger exams where it does not say."""
        return {"exam_size": self.held_out_items, **scenario.env_kwargs}

    def policy_kwargs(self, settings: Settings, env: WorldVecEnv) -> dict[str, Any]:
        """Of :class:`BidPolicy`."""
        return {"width": settings.width, "log_std_init": settings.log_std_init}

    def acting(self, policy: ActorCriticPolicy) -> Policy:
        """The scorer's best guess."""
        assert isinstance(policy, BidPolicy)
        return ScorerBids(policy.scorer)

    def save(self, model: OnPolicyAlgorithm, path: Path, about: Mapping[str, Any]) -> None:
        """The scorer."""
        save_bids(model, path, **about)


class Anyone(Trainee):
    """SB3's own "MultiInputPolicy", in every other world that ``make_sb3`` takes; two layers of ``width``.

    The defaults are those of a swarm's coefficients.
    """

    policy_class = MultiInputActorCriticPolicy
    settings: ClassVar[Mapping[str, Settings]] = {
        "ppo": PPOSettings(
            n_steps=100,
            gamma=0.99,
            gae_lambda=0.95,
            width=32,
            log_std_init=-1.5,
            batch_size=16_000,
            n_epochs=5,
        ),
        "a2c": A2CSettings(gamma=0.99, gae_lambda=0.95, width=32, log_std_init=-1.5),
    }
    options: ClassVar[Mapping[str, int]] = {"worlds": 32, "timesteps": 4_000_000}

    def check(self, scenario: Scenario, given: Mapping[str, Any]) -> None:
        """Nothing is known before there is a world; ``make_sb3`` refuses actions that SB3 cannot take."""

    def world_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """Arguments for the training worlds: the scenario's own."""
        return dict(scenario.env_kwargs)

    def held_out_kwargs(self, scenario: Scenario) -> dict[str, Any]:
        """The same: worlds of another seed domain."""
        return self.world_kwargs(scenario)

    def policy_kwargs(self, settings: Settings, env: WorldVecEnv) -> dict[str, Any]:
        """Of ``MultiInputPolicy``.

        Raises:
            ConfigError: What is observed are pictures, for which SB3 would take another network.
        """
        pictures = [name for name, part in env.observation_space.spaces.items() if is_image_space(part)]  # type: ignore[attr-defined]
        if pictures:
            raise ConfigError(
                f"{', '.join(pictures)} are pictures (uint8), which are not trained from: let the world show float32"
            )
        return {"net_arch": [settings.width, settings.width], "log_std_init": settings.log_std_init}

    def acting(self, policy: ActorCriticPolicy) -> Policy:
        """The mean action, or the likeliest."""
        return MultiInputPolicy(policy)

    def save(self, model: OnPolicyAlgorithm, path: Path, about: Mapping[str, Any]) -> None:
        """The whole network."""
        save_multi_input(model, path, **about)


def _check_hosted(scenario: Scenario) -> None:
    """Raise where a scenario's world does not host its learners."""
    if not scenario.hosts_learners:
        raise ConfigError(f"{scenario.name} does not host its learners: add --set learners=mlp")


def _no_choices(scenario: Scenario) -> ConfigError:
    return ConfigError(f"answers in {scenario.name} are no choices of classes: train it with --algo backprop")


TRAINEES: dict[str, type[Trainee]] = {
    "listeners": Listeners,
    "talkers": Talkers,
    "bidders": Bidders,
    "anyone": Anyone,
}
"""What a world says of who is trained in it (``World.trainee``), to what is to be known of them."""


def trainee_of(scenario: Scenario) -> Trainee:
    """Who is trained by reward in a scenario's world.

    Raises:
        ConfigError: Nobody is.
    """
    name = spec(scenario.env).load().trainee
    if not name:
        raise _no_choices(scenario)
    return TRAINEES[name]()
