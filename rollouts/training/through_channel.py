"""Training message policies through the channel: losses of the world, by gradient, back to whoever spoke.

What a training writes: see the page of this package. Training slices come from the stream split, validation slices from
the exam split, which message worlds do not use otherwise; the test split is for runs and reports only.

Symbols without a gradient (``estimator="sampled"``) are learnt by REINFORCE in the same loop, which the algorithm
"reinforce" sets up: worlds of one sample each, and many of them, since its baseline is their mean. See
`policies/messages/speech.py`.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...envs import make_world, spec
from ...envs.archive import save
from ...envs.engine.fits import check_fits
from ...envs.engine.world import World
from ...envs.errors import ConfigError, unknown
from ...envs.validation import real
from ...policies import make_policy
from ...policies.files import is_path, trained
from ...policies.messages.policy import FORMAT, MessagePolicy
from ...policies.messages.speech import Sampled
from ...scenarios import Scenario
from ..reports.loggers import NO_LOGGERS, Loggers
from ..settings.customise import customise
from ..settings.parse import Assignments
from ..storage.checkpoints import check_optimiser
from . import loop
from .by_updates import UpdateTraining
from .config import TrainingConfig, plain
from .loop import EVAL_SEED, MovingAverage
from .trained import Trained

ANSWERS = ("last", "all")
SCHEDULES = ("cosine", "constant")
_WARM_UP = 0.05  # of a training, in which the learning rate rises


@dataclass(frozen=True)
class ChannelSettings:
    """Each can be set with ``--set backprop.NAME=VALUE``.

    Args:
        learning_rate: Of Adam.
        schedule: "cosine" (rises over the first twentieth of the training, then falls to 0) or "constant".
        answers: Whose loss counts: of the "last" round, or the mean over "all".
        max_grad_norm: Gradients are clipped to it.

    Raises:
        ConfigError: A value out of range.
        UnknownName: No such schedule, or answers.
    """

    learning_rate: float = 1e-3
    schedule: str = "cosine"
    answers: str = "last"
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "max_grad_norm"):
            if real(name, getattr(self, name), 0) == 0:
                raise ConfigError(f"{name} of 0 would train nothing: give a number above 0")
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", str(self.schedule), SCHEDULES)
        if self.answers not in ANSWERS:
            raise unknown("answers", str(self.answers), ANSWERS)


@dataclass(frozen=True)
class ChannelConfig(TrainingConfig):
    """What is trained through the channel.

    Args:
        scenario: Its world, and its policy, whose weights are trained.
        settings: Of the training.
        algorithm: "backprop", or "reinforce" where symbols are drawn and learnt by REINFORCE.
        worlds: W, slices of an update.
        eval_every: Updates between two evaluations, the first of which is before the first.
        eval_worlds: Validation slices.
        seed: Of the worlds; the weights have the policy's own.
        threads: CPU threads.
        updates: Steps of Adam in all.
        cpu_seconds: Stop when the process has spent so much processor time on it, evaluations left out; None
            makes all updates. The learning rate falls with whichever is nearer to its end.
        device: Where the tensors live.

    Raises:
        ConfigError: A value out of range.
    """

    settings: ChannelSettings = field(default_factory=ChannelSettings)
    algorithm: str = "backprop"
    worlds: int = 1
    eval_every: int = 200
    eval_worlds: int = 8
    updates: int = 2_000
    cpu_seconds: float | None = None
    device: str = "cpu"

    kind = "through the channel"
    length = "updates"
    options = ("updates", "cpu_seconds", "worlds", "seed", "threads", "eval_every", "eval_worlds", "device")
    changeable = ("updates", "cpu_seconds", "threads", "device")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cpu_seconds is not None and real("cpu_seconds", self.cpu_seconds, 0) == 0:
            raise ConfigError("cpu_seconds of 0 would train nothing: give a number above 0")
        if not isinstance(self.device, str):
            raise TypeError("a device is a text")

    @classmethod
    def prefix(cls, algorithm: str) -> str:
        """One for both."""
        return "backprop"

    @classmethod
    def settings_type(cls, algorithm: str) -> type[ChannelSettings]:
        """One for both."""
        return ChannelSettings

    @classmethod
    def usual(cls, scenario: Scenario, algorithm: str) -> tuple[ChannelSettings, dict[str, Any]]:
        """What the scenario says of its training; REINFORCE has many worlds."""
        found = dict(scenario.training)
        if algorithm == "reinforce":
            found |= {"worlds": 128, "eval_worlds": 1024}
        names = [f.name for f in dataclasses.fields(ChannelSettings) if f.name in found]
        return ChannelSettings(**{name: found.pop(name) for name in names}), found

    @classmethod
    def change(cls, scenario: Scenario, algorithm: str, given: Mapping[str, Any]) -> Scenario:
        """The scenario with a user's arguments of the world, its mode among them, and of the policy."""
        if algorithm == "reinforce":
            scenario = _with_drawn_symbols(scenario)
        theirs = dict(given)
        for name in given:
            head, dot, _ = name.partition(".")
            if dot and head != "policy":
                settings = [f"backprop.{f.name}" for f in dataclasses.fields(ChannelSettings)]
                raise unknown("setting", name, ["policy.…", *settings])
            if name == "split":
                raise ConfigError("split cannot be set: training has the stream, validation the exam split")
            if name == "mode":  # e.g. a control that never hears anything
                env = {**scenario.env_kwargs, "mode": theirs.pop("mode")}
                scenario = dataclasses.replace(scenario, env_kwargs=env)
        return customise(scenario, assignments=theirs)

    @property
    def run_with(self) -> list[str]:
        """Whatever is not the scenario's own but the mode, and the size of slices."""
        return [text for text in self.changed if not text.startswith(("mode=", "slice_size="))]

    @property
    def trained_with(self) -> list[str]:
        """The policy and its arguments too."""
        return [*self.changed, *self.changed_policy]


def _with_drawn_symbols(scenario: Scenario) -> Scenario:
    """A scenario of messages as REINFORCE learns it; 10 symbols where it has numbers."""
    if not spec(scenario.env).load().differentiable:
        raise ConfigError(f"{scenario.name} is no message world: train it with --algo ppo or a2c")
    return dataclasses.replace(
        scenario,
        env_kwargs={"vocabulary": 10, **scenario.env_kwargs, "slice_size": 1},
        policy_kwargs={**scenario.policy_kwargs, "estimator": "sampled"},
    )


def configure(
    scenario: Scenario, *, algorithm: str = "backprop", assignments: Assignments = (), **options: Any
) -> ChannelConfig:
    """What the options of ``studyhall train`` say; see :meth:`TrainingConfig.configure`.

    Args:
        scenario: The scenario.
        algorithm: ``"backprop"`` or ``"reinforce"``.
        assignments: ``KEY=VALUE`` for arguments of the world, ``policy.KEY=VALUE`` and ``backprop.KEY=VALUE``.
        **options: Fields of :class:`ChannelConfig`; None takes the scenario's or the default.

    Raises:
        ConfigError: A name or value that cannot be.
    """
    return ChannelConfig.configure(scenario, algorithm=algorithm, assignments=assignments, **options)


resumed = ChannelConfig.resumed
OPTIONS = ChannelConfig.options


def train(
    config: ChannelConfig, out: Path | None = None, *, resume: bool = False, log: Loggers = NO_LOGGERS
) -> Trained:
    """Train, evaluate on the way, and keep the best and the last; see :func:`loop.train`."""
    return loop.train(ChannelTraining, config, out, resume=resume, log=log)


class ChannelTraining(UpdateTraining):
    """Steps of Adam on the losses of fresh slices, and what they are worth on held-out ones.

    Args:
        config: What to train.

    Raises:
        ConfigError: The scenario's world is none of messages, or its policy not one to train.
    """

    config: ChannelConfig
    figure = "loss"
    train_figure = "train/loss"
    start = "update 0"
    policy: MessagePolicy
    _evaluated: MessagePolicy

    def __init__(self, config: ChannelConfig) -> None:
        self.config, self.device = config, config.device
        scenario = config.scenario
        policies = [make_policy(scenario.policy, **scenario.policy_kwargs) for _ in range(2)]
        if not all(isinstance(policy, MessagePolicy) for policy in policies):
            raise ConfigError(
                f"{scenario.policy} has no gradient through messages: train {scenario.name} with --algo ppo"
            )
        self.policy, self._evaluated = policies  # type: ignore[assignment]
        self.world = self._world(config.worlds, "stream", autoreset=True)
        self._validation = self._world(config.eval_worlds, "exam", autoreset=False)
        self.policy.bind(self.world)
        self._check_gradients()
        self._evaluated.bind(self._validation)
        self._evaluated.network = self.policy.network
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=float(config.settings.learning_rate))
        self.obs = self.world.reset(seed=[config.seed * config.worlds + w for w in range(config.worlds)])
        self._done, self.spent = 0, 0.0
        self._loss = MovingAverage(0.02)

    def _world(self, count: int, split: str, *, autoreset: bool) -> World:
        kwargs = {**self.config.scenario.env_kwargs, "split": split}
        made = make_world(
            self.config.scenario.env,
            num_worlds=count,
            device=self.config.device,
            autoreset=autoreset,
            **kwargs,
        )
        if not made.differentiable:
            raise ConfigError(
                f"{self.config.scenario.name} is no message world: train it with --algo ppo or a2c"
            )
        return made

    def _check_gradients(self) -> None:
        """Raise where no gradient, or none but zero, would reach whoever speaks."""
        if self.world.choices:  # type: ignore[attr-defined]
            raise ConfigError("choices have no gradient: leave choices out, or train with --algo ppo")
        if isinstance(self.policy.speech, Sampled) and self.world.num_worlds < 2:
            raise ConfigError(
                "estimator=sampled compares worlds with each other: give --worlds 128 and --set slice_size=1, "
                "or --algo reinforce, which does"
            )

    @property
    def progress(self) -> float:
        """Share of the training that is done."""
        config = self.config
        share = self.done / config.updates
        return share if config.cpu_seconds is None else max(share, self.spent / config.cpu_seconds)

    @property
    def live(self) -> str:
        """Updates, and their smoothed loss."""
        return f"update {self.done:,} · loss {self._loss.value:.4f}"

    def update(self, show: Callable[[], None] = lambda: None) -> dict[str, float]:
        """One step of Adam on fresh slices; "train/loss" is the smoothed one of an agent's last answer."""
        begun = time.process_time()
        settings = self.config.settings
        rate = settings.learning_rate
        if settings.schedule == "cosine":
            rate *= min(1.0, (self.progress + 1e-3) / _WARM_UP)
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.policy.training = True
        self.policy.reset()
        losses = []
        for _ in range(self.world.horizon):
            step = self.world.step(self.policy.act(self.obs))
            losses.append(step.loss)
            self.obs = step.obs
        self.policy.training = False
        counted = losses[-1] if settings.answers == "last" else torch.stack(losses).mean(0)
        costs = counted.sum(-1)  # [W]
        loss = costs.mean() + self.policy.speech.surrogate(costs)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), settings.max_grad_norm)
        self.optimiser.step()
        self._done += 1
        self.spent += time.process_time() - begun
        self._loss.add(float(losses[-1].detach().mean()))
        return {self.train_figure: self._loss.value}

    def evaluate(self, stop: Callable[[], bool] = lambda: False) -> float | None:
        """Mean loss of the last answers on validation slices, always the same ones."""
        world, policy = self._validation, self._evaluated
        obs = world.reset(seed=EVAL_SEED, options={"domain": "eval"})
        policy.reset()
        while not world.ended.all():
            if stop():
                return None
            obs = world.step(policy.act(obs)).obs
        return float(world.metrics()["loss"].mean())

    def save_weights(self, path: Path, **about: Any) -> None:
        """Write the weights as a policy that runs."""
        scenario = self.config.scenario
        name, given = scenario.policy, plain(scenario.policy_kwargs)
        if is_path(name) or name in trained():  # trained on from a file: it is what the file said
            name, given = self.policy.about["policy"], self.policy.about["policy_kwargs"]
        policy_kwargs = {**given, **self.policy.settings}
        policy_kwargs.pop("weights", None)  # those it began with; now there are others
        said = {
            "format": FORMAT,
            "policy": name,
            "policy_kwargs": policy_kwargs,
            "env": scenario.env,
            "env_kwargs": plain(scenario.env_kwargs),
            "scenario": scenario.name,
            "algorithm": self.config.algorithm,
            "settings": dataclasses.asdict(self.config.settings),
            "updates": self.done,
            "timesteps": self.timesteps,
            "command": self.config.command,
            **about,
        }
        save(path, said, self.policy.network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        return {
            "network": self.policy.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "world": self.world.state_dict(),
            "done": self.done,
            "spent": self.spent,
            "loss": self._loss.state,
        }

    def check(self, saved: Any) -> None:
        """Check that a saved state is one of this training.

        Raises:
            Misfit: It is not; says where.
        """
        check_fits(saved, {**self.state_dict(), "optimiser": ...})
        check_optimiser(saved["optimiser"], self.optimiser)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self.check(saved)
        self.policy.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.world.load_state_dict(saved["world"])
        self._done, self.spent = saved["done"], saved["spent"]
        self._loss.state = saved["loss"].cpu()
        self.obs = self.world.obs
