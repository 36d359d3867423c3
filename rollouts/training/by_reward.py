"""Training by reward on a scenario's world with Stable-Baselines3's PPO or A2C.

What a training writes: see the page of this package. Both policies load with ``studyhall run SCENARIO --set
policy=FOLDER/best.zip``; protocols also with SB3's own ``load``. What was best is told by the return, that of a
bidder by the collective's score.

Held-out worlds have the seeds 10,000, 10,001, … of the domain ``"eval"``, and ``best.zip`` is chosen on them. What a
run measures are other worlds, as long as it stays below: ``studyhall run --seeds 10000-…`` would measure a policy
on the very worlds that selected it. Those of messages deal from the exam split, which runs never see.

A checkpoint is written with every evaluation and where a training is stopped, always between two updates. What is
taken up again there ends as if it had never stopped, bit for bit: policies, evaluations, and the best of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import LinearSchedule

from ...envs import make_sb3, make_world
from ...envs.engine.fits import check_fits
from ...envs.errors import ConfigError, unknown
from ...scenarios import Scenario
from ..reports.figures import figure
from ..reports.loggers import NO_LOGGERS, Loggers
from ..settings.customise import customise
from ..settings.parse import Assignments
from . import loop
from .algorithms import ALGORITHMS, PPOSettings, Settings
from .config import TrainingConfig
from .loop import EVAL_SEED, MovingAverage, Training
from .sb3_state import put_back, state_of
from .trained import Trained
from .trainees import trainee_of


@dataclass(frozen=True)
class RewardConfig(TrainingConfig):
    """What is trained by reward.

    Args:
        scenario: Its world; who acts in it otherwise plays no part.
        settings: Of the algorithm.
        algorithm: A name of :data:`ALGORITHMS`.
        worlds: W.
        eval_every: Agent-steps between two evaluations, the first of which is before the first update.
        eval_worlds: Held-out worlds, one episode each.
        seed: Of the worlds, of the weights and of exploration. Worlds have the seeds ``seed … seed + W − 1``: give
            seeds at least W apart for independent trainings.
        threads: CPU threads.
        timesteps: Agent-steps in all; training stops at the end of the update that reaches them.

    Raises:
        ConfigError: A value out of range, or settings of another algorithm.
        UnknownName: No such algorithm.
    """

    settings: Settings = field(default_factory=PPOSettings)
    algorithm: str = "ppo"
    worlds: int = 64
    eval_every: int = 200_000
    eval_worlds: int = 16
    timesteps: int = 1_000_000

    kind = "by reward"
    length = "timesteps"
    options = ("timesteps", "worlds", "seed", "eval_every", "threads", "eval_worlds")
    always_given = ("timesteps", "worlds", "seed", "eval_every")
    changeable = ("timesteps", "threads")
    last_seed = 2**32 - 1  # that numpy's generators take

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.algorithm not in ALGORITHMS:
            raise unknown("algorithm", str(self.algorithm), ALGORITHMS)
        needed = self.settings_type(self.algorithm)
        if not isinstance(self.settings, needed):
            raise ConfigError(
                f"settings of {self.algorithm} are {needed.__name__}, got {type(self.settings).__name__}"
            )

    @classmethod
    def prefix(cls, algorithm: str) -> str:
        """The algorithm's name."""
        return algorithm

    @classmethod
    def settings_type(cls, algorithm: str) -> type[Settings]:
        """Of :data:`ALGORITHMS`."""
        return ALGORITHMS[algorithm][1]

    @classmethod
    def usual(cls, scenario: Scenario, algorithm: str) -> tuple[Settings, dict[str, Any]]:
        """Those of who is trained in the scenario's world."""
        trainee = trainee_of(scenario)
        return trainee.settings[algorithm], dict(trainee.options)

    @classmethod
    def unused(cls, scenario: Scenario) -> frozenset[str]:
        """Those that who is trained in the scenario's world lacks."""
        return trainee_of(scenario).unused

    @classmethod
    def change(cls, scenario: Scenario, algorithm: str, given: Mapping[str, Any]) -> Scenario:
        """The scenario with a user's arguments of the world, checked by who is trained in it."""
        for name in given:
            head = name.partition(".")[0]
            if head == "policy":
                raise ConfigError(
                    f"{name} cannot be set: training makes the policy; its settings are {algorithm}.…"
                )
            if head != name:
                settings = dataclasses.fields(cls.settings_type(algorithm))
                raise unknown("setting", name, [f"{algorithm}.{f.name}" for f in settings])
        chosen = customise(scenario, assignments=given)
        trainee_of(scenario).check(chosen, given)
        return chosen

    @property
    def run_with(self) -> list[str]:
        """Whatever is not the scenario's own."""
        return self.changed


def configure(
    scenario: Scenario, *, algorithm: str = "ppo", assignments: Assignments = (), **options: Any
) -> RewardConfig:
    """What the options of ``studyhall train`` say; see :meth:`TrainingConfig.configure`.

    Args:
        scenario: The scenario.
        algorithm: ``"ppo"`` or ``"a2c"``.
        assignments: ``KEY=VALUE`` for arguments of the world, ``ppo.KEY=VALUE`` for those of the algorithm.
        **options: Fields of :class:`RewardConfig`; None takes the usual one.

    Raises:
        ConfigError: An algorithm, name or value that cannot be.
    """
    algorithm = algorithm.lower()
    if algorithm not in ALGORITHMS:
        raise ConfigError(
            f"algorithm {algorithm!r} is not supported: use {' or '.join(ALGORITHMS)}, which learn on the policy "
            "from many worlds at once (replay buffers do not fit worlds whose learners change as they play)"
        )
    return RewardConfig.configure(scenario, algorithm=algorithm, assignments=assignments, **options)


resumed = RewardConfig.resumed
OPTIONS = RewardConfig.options


def train(
    config: RewardConfig, out: Path | None = None, *, resume: bool = False, log: Loggers = NO_LOGGERS
) -> Trained:
    """Train, evaluate on the way, and keep the best and the last; see :func:`loop.train`."""
    return loop.train(RewardTraining, config, out, resume=resume, log=log)


def make_model(config: RewardConfig) -> OnPolicyAlgorithm:
    """The model, untrained, with its worlds.

    Args:
        config: What is to be trained.

    Raises:
        ConfigError: The scenario's world is none to train in; says why.
    """
    trainee = trainee_of(config.scenario)
    trainee.check(config.scenario, {})
    world = trainee.world_kwargs(config.scenario)
    env = make_sb3(config.scenario.env, config.worlds, seed=config.seed, **world)
    settings = dict(vars(config.settings))
    rate = settings.pop("learning_rate")
    for name in ("width", "log_std_init"):
        del settings[name]
    if "batch_size" in settings:
        settings["batch_size"] = _divisor(env.num_envs * settings["n_steps"], settings["batch_size"])
    algorithm: Any = ALGORITHMS[config.algorithm][0]
    return algorithm(
        trainee.policy_class,
        env,
        learning_rate=LinearSchedule(rate, 0.0, 1.0),
        policy_kwargs=trainee.policy_kwargs(config.settings, env),
        seed=config.seed,
        device="cpu",
        **settings,
    )


def _divisor(total: int, most: int) -> int:
    """The largest divisor of ``total`` that is at most ``most``; all where there is none but 1."""
    return next((size for size in range(min(most, total), 1, -1) if total % size == 0), total)


class Evaluation:
    """The figure of the deterministic policy on held-out worlds, always the same ones; see :class:`Trainee`.

    Args:
        config: Says which world.
    """

    def __init__(self, config: RewardConfig) -> None:
        self.trainee = trainee_of(config.scenario)
        kwargs = self.trainee.held_out_kwargs(config.scenario)
        self.world = make_world(config.scenario.env, num_worlds=config.eval_worlds, autoreset=False, **kwargs)

    def __call__(self, model: OnPolicyAlgorithm, stop: Callable[[], bool]) -> float | None:
        """The mean over one episode of every world; None where ``stop`` said so on the way."""
        policy = self.trainee.acting(model.policy)
        policy.bind(self.world)
        obs = self.world.reset(seed=EVAL_SEED, options={"domain": "eval"})
        policy.reset()
        while not self.world.ended.all():
            if stop():
                return None
            with torch.no_grad():
                obs = self.world.step(policy.act(obs)).obs
        return float(self.world.metrics()[self.trainee.figure].mean())


class RewardTraining(Training):
    """SB3's updates: steps of all worlds, then the gradients of what was collected.

    Args:
        config: What to train.

    Raises:
        ConfigError: The scenario's world is none to train in; says why.
    """

    config: RewardConfig
    train_figure = "train/reward"
    start = "step 0"

    def __init__(self, config: RewardConfig) -> None:
        self.config = config
        self.model, self.evaluation = make_model(config), Evaluation(config)
        self.figure = self.evaluation.trainee.figure
        self.model.set_logger(Logger(folder=None, output_formats=[]))  # what it says is taken from there
        self._watch = _Watch()
        self.model._setup_learn(config.timesteps, self._watch)

    @property
    def timesteps(self) -> int:
        """Agent-steps made."""
        return self.model.num_timesteps

    @property
    def progress(self) -> float:
        """Share of the agent-steps."""
        return self.timesteps / self.config.timesteps

    @property
    def live(self) -> str:
        """The smoothed reward of an agent-step."""
        return f"reward {figure(self._watch.reward.value, 4)}"

    def update(self, show: Callable[[], None]) -> dict[str, float]:
        """What SB3's ``learn`` does between two evaluations of its loop."""
        model, self._watch.show = self.model, show
        model.collect_rollouts(model.get_env(), self._watch, model.rollout_buffer, model.n_steps)  # type: ignore[arg-type]
        model._update_current_progress_remaining(model.num_timesteps, self.config.timesteps)
        model.train()
        found = {name: float(value) for name, value in model.logger.name_to_value.items()}
        model.logger.dump()
        if episodes := model.ep_info_buffer:
            for name, key in (("rollout/ep_rew_mean", "r"), ("rollout/ep_len_mean", "l")):
                found[name] = float(sum(episode[key] for episode in episodes) / len(episodes))
        return {self.train_figure: self._watch.reward.value, **found}

    def evaluate(self, stop: Callable[[], bool] = lambda: False) -> float | None:
        """The figure of the deterministic policy on held-out worlds."""
        return self.evaluation(self.model, stop)

    def save_weights(self, path: Path, **about: Any) -> None:
        """Write the policy as who is trained keeps it."""
        config = self.config
        said = {
            "scenario": config.scenario.name,
            "seed": config.seed,
            "worlds": config.worlds,
            "settings": dataclasses.asdict(config.settings),
            "command": config.command,
            **about,
        }
        self.evaluation.trainee.save(self.model, path, said)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        return {"model": state_of(self.model), "reward": self._watch.reward.state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        check_fits(saved, {"model": ..., "reward": self._watch.reward.state})
        put_back(self.model, saved["model"])
        self._watch.reward.state = saved["reward"]


class _Watch(BaseCallback):
    """Smooths the rewards of SB3's steps, and shows the training on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.show: Callable[[], None] = lambda: None
        self.reward = MovingAverage(0.01)

    def _on_step(self) -> bool:
        self.reward.add(float(self.locals["rewards"].mean()))
        self.show()
        return True
