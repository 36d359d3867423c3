"""Training a protocol on a scenario's world with Stable-Baselines3, and keeping the best of it.

=================  =====================================================================================
``config.json``    everything needed to train it again
``best.zip``       the policy with the best return on held-out worlds so far, the untrained one among them
``last.zip``       the policy as training left it
``tensorboard/``   events, where TensorBoard is installed
=================  =====================================================================================

Both policies load with ``studyhall run SCENARIO --set policy=FOLDER/best.zip`` and with SB3's own ``load``.

Held-out worlds have the seeds 10,000, 10,001, … of the domain ``"eval"``, and ``best.zip`` is chosen on them. What a
run measures are other worlds, as long as it stays below: ``studyhall run --seeds 10000-…`` would measure a policy
on the very worlds that selected it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import LinearSchedule

from ..envs import make_sb3, make_world, spec
from ..envs.errors import ConfigError, StudyhallError, unknown
from ..envs.validation import whole
from ..policies.learned import ScorerPolicy
from ..policies.sb3 import SetPolicy, save_policy
from ..scenarios import Scenario
from .algorithms import ALGORITHMS, PPOSettings, Settings
from .interrupts import stop_requests
from .output import as_json
from .settings import customise, parse_assignments
from .trained import Trained, TrainingProgress, plain, registered, training_folder

_EVAL_SEED = 10_000
"""Held-out worlds have seeds from here on, far from those a run measures: a best chosen on these would be a
claim that chose itself."""
_LAST_SEED = 2**32 - 1  # that numpy's generators take


@dataclass(frozen=True)
class TrainConfig:
    """What is trained.

    Args:
        scenario: Its world; who acts in it otherwise plays no part.
        algorithm: A name of :data:`ALGORITHMS`.
        settings: Of the algorithm.
        timesteps: Agent-steps in all; training stops at the end of the update that reaches them.
        worlds: W.
        seed: Of the worlds, of the weights and of exploration. Worlds have the seeds ``seed … seed + W − 1``: give
            seeds at least W apart for independent trainings.
        threads: CPU threads.
        eval_every: Agent-steps between two evaluations, the first of which is before the first update.
        eval_worlds: Held-out worlds, one episode each.

    Raises:
        ConfigError: A value out of range, or settings of another algorithm.
        UnknownName: No such algorithm.
    """

    scenario: Scenario
    algorithm: str = "ppo"
    settings: Settings = field(default_factory=PPOSettings)
    timesteps: int = 1_000_000
    worlds: int = 64
    seed: int = 0
    threads: int = 1
    eval_every: int = 200_000
    eval_worlds: int = 16

    def __post_init__(self) -> None:
        for name in ("timesteps", "worlds", "threads", "eval_every", "eval_worlds"):
            object.__setattr__(
                self, name, whole(name, getattr(self, name), 1)
            )  # numpy's integers as Python's
        object.__setattr__(self, "seed", whole("seed", self.seed, 0, _LAST_SEED))
        if self.algorithm not in ALGORITHMS:
            raise unknown("algorithm", str(self.algorithm), ALGORITHMS)
        needed = ALGORITHMS[self.algorithm][1]
        if not isinstance(self.settings, needed):
            raise ConfigError(
                f"settings of {self.algorithm} are {needed.__name__}, got {type(self.settings).__name__}"
            )

    @property
    def command(self) -> str:
        """The command that trains the same."""
        given = [
            f"{name}={as_json(value)}"
            for prefix, now, default in (
                ("", plain(self.scenario.env_kwargs), plain(registered(self.scenario.name)[0])),
                (f"{self.algorithm}.", vars(self.settings), vars(type(self.settings)())),
            )
            for name, value in ((f"{prefix}{k}", v) for k, v in now.items() if default.get(k, ...) != v)
        ]
        words = ["studyhall", "train", self.scenario.name, "--algo", self.algorithm]
        for name in ("timesteps", "worlds", "seed", "eval_every"):
            words += _option(name, getattr(self, name))
        for name in ("threads", "eval_worlds"):
            if getattr(self, name) != getattr(type(self), name):
                words += _option(name, getattr(self, name))
        return shlex.join([*words, *(word for text in given for word in ("--set", text))])


def _option(name: str, value: int) -> list[str]:
    return [f"--{name.replace('_', '-')}", str(value)]


def configure(
    scenario: Scenario, *, algorithm: str = "ppo", assignments: Sequence[str] = (), **options: Any
) -> TrainConfig:
    """What the options of ``studyhall train`` say.

    Args:
        scenario: The scenario.
        algorithm: ``"ppo"`` or ``"a2c"``.
        assignments: ``KEY=VALUE`` for arguments of the world, ``ppo.KEY=VALUE`` for those of the algorithm.
        **options: Fields of :class:`TrainConfig`; None takes the default.

    Raises:
        ConfigError: An algorithm, name or value that cannot be.
    """
    if algorithm.lower() not in ALGORITHMS:
        raise ConfigError(
            f"algorithm {algorithm!r} is not supported: use {' or '.join(ALGORITHMS)}, which learn on the policy "
            "from many worlds at once (replay buffers do not fit worlds whose learners change as they play)"
        )
    algorithm = algorithm.lower()
    given = parse_assignments(assignments)
    for name in given:
        head = name.partition(".")[0]
        if head == "policy":
            raise ConfigError(
                f"{name} cannot be set: training makes the policy; its settings are {algorithm}.…"
            )
        if head != name and head != algorithm:
            raise unknown("setting", name, [f"{algorithm}.{f.name}" for f in _fields(algorithm)])
    ours = {k.partition(".")[2]: v for k, v in given.items() if "." in k}
    theirs = [text for text in assignments if "." not in text.partition("=")[0]]
    return TrainConfig(
        scenario=customise(scenario, assignments=theirs),
        algorithm=algorithm,
        settings=_settings(algorithm, ours),
        **{name: value for name, value in options.items() if value is not None},
    )


def _fields(algorithm: str) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(ALGORITHMS[algorithm][1])


def _settings(algorithm: str, given: Mapping[str, Any]) -> Settings:
    """The algorithm's settings with a user's changes."""
    known = [f.name for f in _fields(algorithm)]
    for name in given:
        if name not in known:
            raise unknown(f"setting of {algorithm}", name, known)
    return ALGORITHMS[algorithm][1](**given)


def make_model(config: TrainConfig) -> OnPolicyAlgorithm:
    """The model, untrained, with its worlds.

    Args:
        config: What is to be trained.

    Raises:
        ConfigError: The scenario's world is none to train in; says why.
    """
    _check_world(config.scenario)
    env = make_sb3(config.scenario.env, config.worlds, seed=config.seed, **config.scenario.env_kwargs)
    settings = dict(vars(config.settings))
    rate = settings.pop("learning_rate")
    network = {name: settings.pop(name) for name in ("width", "log_std_init")}
    if "batch_size" in settings:
        settings["batch_size"] = _divisor(env.num_envs * settings["n_steps"], settings["batch_size"])
    algorithm: Any = ALGORITHMS[config.algorithm][0]
    return algorithm(
        SetPolicy,
        env,
        learning_rate=LinearSchedule(rate, 0.0, 1.0),
        policy_kwargs=network,
        seed=config.seed,
        device="cpu",
        **settings,
    )


def _check_world(scenario: Scenario) -> None:
    """Say what to set where a scenario's world could decide what is trained, but not as it is set."""
    if spec(scenario.env).hosted and scenario.env_kwargs.get("learners") is None:
        raise ConfigError(f"{scenario.name} does not host its learners: add --set learners=mlp")
    if scenario.env_kwargs.get("actions") == "targets":
        raise ConfigError("train takes actions=listen, gated or discrete, got targets")


def _divisor(total: int, most: int) -> int:
    """The largest divisor of ``total`` that is at most ``most``; all where there is none but 1."""
    return next((size for size in range(min(most, total), 1, -1) if total % size == 0), total)


class Evaluation:
    """The return of the deterministic policy on held-out worlds, always the same ones.

    Args:
        config: Says which world.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.world = make_world(
            config.scenario.env, num_worlds=config.eval_worlds, autoreset=False, **config.scenario.env_kwargs
        )

    def __call__(self, model: OnPolicyAlgorithm, stop: Callable[[], bool]) -> float | None:
        """Mean return of an agent over one episode of every world; None where ``stop`` said so on the way."""
        assert isinstance(model.policy, SetPolicy)
        policy = ScorerPolicy(model.policy.scorer)
        policy.bind(self.world)
        obs = self.world.reset(seed=_EVAL_SEED, options={"domain": "eval"})
        while not self.world.ended.all():
            if stop():
                return None
            obs = self.world.step(policy.act(obs)).obs
        return float(self.world.metrics()["return"].mean())


def train(config: TrainConfig, out: Path | None = None) -> Trained:
    """Train, evaluate on the way, and keep the best and the last.

    A first Ctrl-C stops after the running step; what was best by then is kept.

    Args:
        config: What to train.
        out: The folder; None takes the first free ``runs/<scenario>-<algorithm>-<n>``.

    Raises:
        ConfigError: It cannot be set up, or the folder not be written.
    """
    torch.set_num_threads(config.threads)
    try:
        model, evaluation = make_model(config), Evaluation(config)
    except StudyhallError:
        raise
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as fault:  # what torch and SB3 make of settings that cannot be
        raise ConfigError(f"the training cannot be set up: {str(fault).partition(chr(10))[0]}") from fault
    folder = training_folder(out, config)
    if importlib.util.find_spec("tensorboard"):
        model.tensorboard_log = str(folder / "tensorboard")
    else:
        print("studyhall: no TensorBoard events, since tensorboard is not installed", file=sys.stderr)
    found = Trained(folder)
    begun = time.perf_counter()
    bar = TrainingProgress(config.scenario.name, config.timesteps)
    with stop_requests() as stop, bar:
        watch = _Watch(config, evaluation, found, bar, stop)
        model.learn(config.timesteps, callback=watch, tb_log_name=config.algorithm)
        found.stopped = stop()
        watch.evaluate_and_keep()
    found.timesteps, found.seconds = model.num_timesteps, time.perf_counter() - begun
    watch.save("last.zip")
    if not found.evaluations:
        watch.save("best.zip")
    return found


class _Watch(BaseCallback):
    """Shows how training goes, evaluates when it is time, keeps the best, and stops when asked."""

    def __init__(
        self,
        config: TrainConfig,
        evaluation: Evaluation,
        found: Trained,
        bar: TrainingProgress,
        stop: Callable[[], bool],
    ) -> None:
        super().__init__()
        self.config, self.evaluation, self.found, self.bar, self.stop = config, evaluation, found, bar, stop
        self._next = 0
        self._reward = math.nan
        self._begun = self._shown = time.perf_counter()

    def _on_step(self) -> bool:
        reward = float(self.locals["rewards"].mean())
        self._reward = reward if math.isnan(self._reward) else 0.99 * self._reward + 0.01 * reward
        now = time.perf_counter()
        if now - self._shown >= 0.1:
            self._shown = now
            self.bar.show(self.num_timesteps, self._figures(now))
        return not self.stop()

    def _on_rollout_start(self) -> None:  # the update before, if any, has just been made
        if self.num_timesteps >= self._next:
            self.evaluate_and_keep()
            self._next += self.config.eval_every * (
                1 + (self.num_timesteps - self._next) // self.config.eval_every
            )

    def evaluate_and_keep(self) -> None:
        """Evaluate the policy as it is now, unless that was just done, and save it if it is the best so far."""
        if self.found.evaluations and self.found.evaluations[-1][0] == self.num_timesteps:
            return
        value = self.evaluation(self.model, self.stop)  # type: ignore[arg-type]
        if value is None:
            return
        best = self.found.evaluated(self.num_timesteps, value)
        self.logger.record("eval/return", value)
        self.logger.dump(self.num_timesteps)  # SB3 would, but only after the next steps
        self.bar.tell(f"return on held-out worlds {value:.2f} after {self.num_timesteps:,} agent-steps")
        if best:
            self.save("best.zip", eval_return=value)

    def save(self, name: str, **more: Any) -> None:
        """Save the policy as it is now."""
        config = self.config
        about = {
            "scenario": config.scenario.name,
            "seed": config.seed,
            "worlds": config.worlds,
            "settings": dataclasses.asdict(config.settings),
            "command": config.command,
        }
        save_policy(self.model, self.found.folder / name, **about, **more)

    def _figures(self, now: float) -> str:
        last = f"{self.found.evaluations[-1][1]:.2f}" if self.found.evaluations else "–"
        rate = self.num_timesteps / (now - self._begun)
        return f"reward {self._reward:.4f} · return on held-out worlds {last} · {rate:,.0f} agent-steps/s"
