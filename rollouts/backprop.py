"""Training message policies through the channel: losses of the world, by gradient, back to whoever spoke.

=====================  =================================================================================
``config.json``        everything needed to train it again
``best.zip``           the weights with the lowest loss on validation slices so far, the untrained ones among them
``last.zip``           the weights as training left them
``checkpoint.pt``      where a stopped training can be taken up again (``--resume``)
=====================  =================================================================================

Training slices come from the stream split, validation slices from the exam split, which message worlds do not use
otherwise; the test split is for runs and reports only. Symbols without a gradient (``estimator="sampled"``) are learnt
by REINFORCE in the same loop; see `policies/messages/speech.py`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..envs import make_world
from ..envs.errors import ConfigError, unknown
from ..envs.messages import MessageWorld
from ..envs.validation import real, whole
from ..policies import make_policy
from ..policies.files import save
from ..policies.messages.policy import FORMAT, MessagePolicy
from ..policies.messages.speech import Sampled
from ..scenarios import Scenario
from .checkpoints import read_checkpoint, unreadable, write_checkpoint
from .interrupts import stop_requests
from .output import as_json
from .report import scenario_from_json
from .settings import customise, parse_assignments
from .trained import (
    Trained,
    TrainingProgress,
    describe,
    plain,
    registered,
    training_folder,
    world_settings,
)

CHECKPOINT = "checkpoint.pt"
_ANEW = "train anew"
_EVAL_SEED = 10_000
_WARM_UP = 0.05  # of a training, in which the learning rate rises
ANSWERS = ("last", "all")
_OPTIONS = ("updates", "cpu_seconds", "worlds", "seed", "threads", "eval_every", "eval_worlds", "device")
_OF_RESUME = (
    "updates",
    "cpu_seconds",
    "threads",
    "device",
)  # what may change when a training is taken up again
SCHEDULES = ("cosine", "constant")


@dataclass(frozen=True)
class BackpropSettings:
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
class BackpropConfig:
    """What is trained.

    Args:
        scenario: Its world, and its policy, whose weights are trained.
        settings: Of the training.
        updates: Steps of Adam in all.
        cpu_seconds: Stop when the process has spent so much processor time on it, evaluations left out; None
            makes all updates. The learning rate falls with whichever is nearer to its end.
        worlds: W, slices of an update.
        seed: Of the worlds; the weights have the policy's own.
        threads: CPU threads.
        eval_every: Updates between two evaluations, the first of which is before the first.
        eval_worlds: Validation slices.
        device: Where the tensors live.

    Raises:
        ConfigError: A value out of range.
    """

    scenario: Scenario
    settings: BackpropSettings = field(default_factory=BackpropSettings)
    updates: int = 2_000
    cpu_seconds: float | None = None
    worlds: int = 1
    seed: int = 0
    threads: int = 1
    eval_every: int = 200
    eval_worlds: int = 8
    device: str = "cpu"

    algorithm = "backprop"

    def __post_init__(self) -> None:
        for name in ("updates", "worlds", "threads", "eval_every", "eval_worlds"):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1))
        whole("seed", self.seed, 0)
        if self.cpu_seconds is not None and real("cpu_seconds", self.cpu_seconds, 0) == 0:
            raise ConfigError("cpu_seconds of 0 would train nothing: give a number above 0")

    @property
    def command(self) -> str:
        """The command that trains the same."""
        env, policy = registered(self.scenario.name)
        training = _usual(self.scenario.name)
        usual = {**vars(BackpropSettings()), **training}
        given = [
            f"{prefix}{name}={value if isinstance(value, str) else as_json(value)}"
            for prefix, now, default in (
                ("", plain(self.scenario.env_kwargs), plain(env)),
                ("policy.", plain(self.scenario.policy_kwargs), plain(policy)),
                ("backprop.", vars(self.settings), usual),
            )
            for name, value in now.items()
            if default.get(name, ...) != value
        ]
        words = ["studyhall", "train", self.scenario.name, "--algo", "backprop"]
        for name in _OPTIONS:
            if getattr(self, name) != training.get(name, getattr(type(self), name)):
                words += [f"--{name.replace('_', '-')}", str(getattr(self, name))]
        return shlex.join([*words, *(word for text in given for word in ("--set", text))])


def _usual(name: str) -> Mapping[str, Any]:
    """How a registered scenario is trained."""
    from ..scenarios import registry

    return registry[name].training if name in registry else {}


def configure(scenario: Scenario, *, assignments: Sequence[str] = (), **options: Any) -> BackpropConfig:
    """What the options of ``studyhall train --algo backprop`` say.

    Args:
        scenario: The scenario.
        assignments: ``KEY=VALUE`` for arguments of the world, ``policy.KEY=VALUE`` and ``backprop.KEY=VALUE``.
        **options: Fields of :class:`BackpropConfig`; None takes the scenario's or the default.

    Raises:
        ConfigError: A name or value that cannot be.
    """
    known = [f.name for f in dataclasses.fields(BackpropSettings)]
    ours: dict[str, Any] = {}
    theirs = []
    for text in assignments:
        head, dot, name = text.partition("=")[0].partition(".")
        if dot and head == "backprop":
            if name not in known:
                raise unknown("setting of backprop", name, known)
            ours[name] = parse_assignments([text])[f"backprop.{name}"]
        elif dot and head != "policy":
            raise unknown("setting", f"{head}.{name}", ["policy.…", *(f"backprop.{name}" for name in known)])
        elif text.partition("=")[0] == "split":
            raise ConfigError("split cannot be set: training has the stream, validation the exam split")
        elif text.partition("=")[0] == "mode":  # e.g. a control that never hears anything
            mode = parse_assignments([text])["mode"]
            scenario = dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, "mode": mode})
        else:
            theirs.append(text)
    training = dict(scenario.training)
    settings = {name: training.pop(name) for name in known if name in training}
    return BackpropConfig(
        scenario=customise(scenario, assignments=theirs),
        settings=BackpropSettings(**(settings | ours)),
        **(training | {name: value for name, value in options.items() if value is not None}),
    )


class Training:
    """A training that can be saved after any update and taken up again.

    Args:
        config: What to train.

    Raises:
        ConfigError: The scenario's world is none of messages, or its policy not one to train.
    """

    def __init__(self, config: BackpropConfig) -> None:
        self.config = config
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
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=config.settings.learning_rate)
        self.obs = self.world.reset(seed=[config.seed * config.worlds + w for w in range(config.worlds)])
        self.done, self.spent = 0, 0.0

    policy: MessagePolicy
    _evaluated: MessagePolicy

    def _world(self, count: int, split: str, *, autoreset: bool) -> MessageWorld:
        kwargs = {**self.config.scenario.env_kwargs, "split": split}
        made = make_world(
            self.config.scenario.env,
            num_worlds=count,
            device=self.config.device,
            autoreset=autoreset,
            **kwargs,
        )
        if not isinstance(made, MessageWorld):
            raise ConfigError(
                f"{self.config.scenario.name} is no message world: train it with --algo ppo or a2c"
            )
        return made

    def _check_gradients(self) -> None:
        """Raise where no gradient, or none but zero, would reach whoever speaks."""
        if self.world.choices:
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

    def update(self) -> float:
        """One step of Adam on fresh slices; returns the loss of an agent's last answer."""
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
        self.done += 1
        self.spent += time.process_time() - begun
        return float(losses[-1].detach().mean())

    def evaluate(self) -> float:
        """Mean loss of the last answers on validation slices, always the same ones."""
        world, policy = self._validation, self._evaluated
        obs = world.reset(seed=_EVAL_SEED, options={"domain": "eval"})
        policy.reset()
        while not world.ended.all():
            obs = world.step(policy.act(obs)).obs
        return float(world.metrics()["loss"].mean())

    @property
    def timesteps(self) -> int:
        """Agent-steps made."""
        return self.done * self.world.num_worlds * self.world.num_agents * self.world.horizon

    def save_weights(self, path: Path) -> None:
        """Write the weights as a policy that runs."""
        scenario = self.config.scenario
        about = {
            "format": FORMAT,
            "policy": scenario.policy,
            "policy_kwargs": {**plain(scenario.policy_kwargs), **self.policy.settings},
            "env": scenario.env,
            "env_kwargs": plain(scenario.env_kwargs),
            "scenario": scenario.name,
            "algorithm": "backprop",
            "settings": dataclasses.asdict(self.config.settings),
            "updates": self.done,
            "timesteps": self.timesteps,
            "command": self.config.command,
        }
        save(path, about, self.policy.network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        return {
            "network": self.policy.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "world": self.world.state_dict(),
            "done": self.done,
            "spent": self.spent,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self.policy.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.world.load_state_dict(saved["world"])
        self.done, self.spent = saved["done"], saved["spent"]
        self.obs = self.world.obs


def train(config: BackpropConfig, out: Path | None = None, *, resume: bool = False) -> Trained:
    """Train, evaluate on the way, and keep the best and the last.

    A first Ctrl-C stops after the running update; what was best by then is kept, and ``resume`` goes on.

    Args:
        config: What to train.
        out: The folder; None takes the first free ``runs/<scenario>-backprop-<n>``.
        resume: Whether ``out`` holds a training of the same config that is to be taken up again.

    Raises:
        ConfigError: It cannot be set up, the folder not be written, or its checkpoint not be read.
    """
    torch.set_num_threads(config.threads)
    training = Training(config)
    if resume:
        assert out is not None
        folder = out
        found = _take_up(training, folder)
        describe(folder, config)
    else:
        folder = training_folder(out, config)
        found = Trained(folder, "loss")
    found.per_update = training.world.num_worlds * training.world.num_agents * training.world.horizon
    before, begun = found.seconds, time.perf_counter()
    bar = TrainingProgress(config.scenario.name, 1000)
    found.policy = config.scenario.policy if ":" in config.scenario.policy else None
    found.world = [
        text for text in world_settings(config.scenario) if not text.startswith(("mode=", "slice_size="))
    ]
    with stop_requests() as stop, bar:
        _loop(training, found, bar, stop)
        found.stopped = stop() and training.progress < 1
    found.seconds = before + time.perf_counter() - begun
    _keep(training, found)
    training.save_weights(folder / "last.zip")
    return found


def _loop(training: Training, found: Trained, bar: TrainingProgress, stop: Callable[[], bool]) -> None:
    """Update until the end, or until asked to stop."""
    loss, shown = math.nan, 0.0
    while True:
        over = training.progress >= 1
        if over or training.done % training.config.eval_every == 0:
            _evaluate(training, found, bar)
        if over and found.best[0] == 0:
            bar.tell("no weights were better than the untrained ones: try a lower backprop.learning_rate")
        if over or stop():
            return
        now = training.update()
        loss = now if math.isnan(loss) else 0.98 * loss + 0.02 * now
        if time.perf_counter() - shown >= 0.1:
            shown = time.perf_counter()
            last = f"{found.evaluations[-1][1]:.4f}" if found.evaluations else "–"
            figures = f"update {training.done:,} · loss {loss:.4f} · on validation slices {last}"
            bar.show(round(1000 * training.progress), figures)


def _evaluate(training: Training, found: Trained, bar: TrainingProgress) -> None:
    """Evaluate the weights as they are now, unless that was just done, and keep them if they are the best."""
    if found.evaluations and found.evaluations[-1][0] == training.timesteps:
        return
    value = training.evaluate()
    best = found.evaluated(training.timesteps, value)
    bar.tell(f"loss on validation slices {value:.4f} after {training.done:,} updates")
    if best:
        training.save_weights(found.folder / "best.zip")
    _keep(training, found)


def _keep(training: Training, found: Trained) -> None:
    """Write the checkpoint, whole or not at all."""
    found.timesteps = training.timesteps
    state = training.state_dict() | {"evaluations": found.evaluations, "seconds": found.seconds}
    write_checkpoint(found.folder / CHECKPOINT, state)


def _take_up(training: Training, folder: Path) -> Trained:
    """What a stopped training had found; puts the training where it stopped."""
    path = folder / CHECKPOINT
    saved = read_checkpoint(path, training.world.device, _ANEW)
    try:
        training.load_state_dict(saved)
        evaluations = [(int(at), float(value)) for at, value in saved["evaluations"]]
        return Trained(folder, "loss", evaluations=evaluations, seconds=float(saved["seconds"]))
    except (
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
    ) as fault:  # what another training's makes of the lines above
        raise unreadable(path, fault, _ANEW) from fault


def resumed(folder: Path, **options: Any) -> BackpropConfig:
    """The config of a stopped training.

    Args:
        folder: Of the training.
        **options: Fields of :class:`BackpropConfig` that are to be changed, such as ``updates``; None keeps them.

    Raises:
        ConfigError: The folder holds none, or an option would make it another training.
    """
    for name, value in options.items():
        if value is not None and name not in _OF_RESUME:
            raise ConfigError(f"--resume goes on as the training began: leave out --{name.replace('_', '-')}")
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        fields = {f.name: found[f.name] for f in dataclasses.fields(BackpropConfig)}
        fields["scenario"] = scenario_from_json(found["scenario"])
        fields["settings"] = BackpropSettings(**found["settings"])
    except OSError:
        raise ConfigError(f"{folder} is no folder of a training: it has no config.json to resume") from None
    except (ValueError, KeyError, TypeError) as fault:
        raise ConfigError(f"{folder} holds no training through the channel: {_ANEW}") from fault
    return BackpropConfig(**(fields | {name: value for name, value in options.items() if value is not None}))
