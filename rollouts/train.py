"""Training by reward on a scenario's world with Stable-Baselines3, and keeping the best of it.

=================  =====================================================================================
``config.json``    everything needed to train it again
``best.zip``       the policy that did best on held-out worlds so far, the untrained one among them
``last.zip``       the policy as training left it
``checkpoint.pt``  where a stopped training can be taken up again (``--resume``); ``checkpoint-before.pt``: before
``tensorboard/``   events
=================  =====================================================================================

Both policies load with ``studyhall run SCENARIO --set policy=FOLDER/best.zip``; protocols also with SB3's own ``load``.
What was best is told by the return, that of a bidder by the collective's score.

Held-out worlds have the seeds 10,000, 10,001, … of the domain ``"eval"``, and ``best.zip`` is chosen on them. What a
run measures are other worlds, as long as it stays below: ``studyhall run --seeds 10000-…`` would measure a policy
on the very worlds that selected it. Those of messages deal from the exam split, which runs never see.

A checkpoint is written with every evaluation and where a training is stopped, always between two rollouts. What is
taken up again there ends as if it had never stopped, bit for bit: policies, evaluations, and the best of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import LinearSchedule

from ..envs import make_sb3
from ..envs.engine.saving import Misfit, check_fits
from ..envs.errors import ConfigError, StudyhallError, unknown
from ..envs.files import unwritable
from ..envs.validation import whole
from ..scenarios import Scenario
from .algorithms import ALGORITHMS, PPOSettings, Settings
from .checkpoints import Checkpoints, check_evaluations, say_no_checkpoint
from .folders import ANEW, read_config
from .interrupts import stop_requests
from .output import as_json
from .read_scenario import read_scenario
from .sb3_state import put_back
from .settings import changes, customise, parse_assignments
from .trained import (
    Trained,
    TrainingProgress,
    checkpoints_of,
    describe,
    plain,
    registered,
    training_folder,
    world_settings,
)
from .trainees import trainee_of
from .watch import Evaluation, Stopped, Watch

OF_RESUME = ("timesteps", "threads")
"""What may change when a training goes on."""
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
    def _usual(self) -> Settings:
        """The settings that a user would leave out."""
        return trainee_of(self.scenario).settings[self.algorithm]

    @property
    def command(self) -> str:
        """The command that trains the same."""
        given = [
            f"{name}={as_json(value)}"
            for prefix, now, default in (
                ("", plain(self.scenario.env_kwargs), plain(registered(self.scenario.name)[0])),
                (f"{self.algorithm}.", vars(self.settings), vars(self._usual)),
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
    customised = customise(scenario, assignments=theirs)
    trainee = trainee_of(scenario)
    trainee.check(customised, given)
    known = [f.name for f in _fields(algorithm) if f.name not in trainee.unused]
    for name in ours:
        if name not in known:
            raise unknown(f"setting of {algorithm}", name, known)
    return TrainConfig(
        scenario=customised,
        algorithm=algorithm,
        settings=dataclasses.replace(trainee.settings[algorithm], **ours),
        **{**trainee.options, **{name: value for name, value in options.items() if value is not None}},
    )


def _fields(algorithm: str) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(ALGORITHMS[algorithm][1])


def resumed(folder: Path, own_policy: str | None = None, **options: Any) -> TrainConfig:
    """The config of a stopped training.

    Args:
        folder: Of the training.
        own_policy: ``"module:Class"``, where the user named it again.
        **options: Fields of :class:`TrainConfig` that are to be changed, such as ``timesteps``; None keeps them. What
            is changed makes another training of it, which goes on from where this one stopped.

    Raises:
        ConfigError: The folder holds none, or an option cannot be changed.
    """
    chosen = changes(options, OF_RESUME)
    found = read_config(folder, "training")
    try:
        fields = {f.name: found[f.name] for f in dataclasses.fields(TrainConfig)}
        fields["scenario"] = read_scenario(found["scenario"], own_policy)
        fields["settings"] = ALGORITHMS[found["algorithm"]][1](**found["settings"])
    except StudyhallError:  # what it says cannot be, in one line; some are TypeErrors too
        raise
    except (KeyError, TypeError) as fault:
        raise ConfigError(f"{folder} holds no training by reward: {ANEW['training']}") from fault
    return TrainConfig(**(fields | chosen))


def make_model(config: TrainConfig) -> OnPolicyAlgorithm:
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


def train(config: TrainConfig, out: Path | None = None, *, resume: bool = False) -> Trained:
    """Train, evaluate on the way, and keep the best and the last.

    A first Ctrl-C stops after the running update; what was best by then is kept, and ``resume`` goes on.

    Args:
        config: What to train.
        out: The folder; None takes the first free ``runs/<scenario>-<algorithm>-<n>``.
        resume: Whether ``out`` holds a training of the same config that is to be taken up again.

    Raises:
        ConfigError: It cannot be set up, the folder not be written, or its checkpoint not be read.
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
    with training_folder(out, config, resume=resume) as folder:
        found = Trained(folder, evaluation.trainee.figure)
        checkpoints = checkpoints_of(folder, config, OF_RESUME)
        going_on = resume and _take_up(model, found, checkpoints)
        if resume:
            describe(folder, config)
        found.world = world_settings(config.scenario)
        model.tensorboard_log = str(folder / "tensorboard")
        bar = TrainingProgress(config.scenario.name, config.timesteps)
        with stop_requests() as stop, bar:
            watch = Watch(config, evaluation, found, checkpoints, bar, stop)
            with contextlib.suppress(Stopped):
                _learn(model, watch, config, going_on)
                watch.evaluate_and_keep()
            found.stopped = stop()
        watch.keep()
        watch.save("last.zip")
    return found


def _learn(model: OnPolicyAlgorithm, watch: Watch, config: TrainConfig, going_on: bool) -> None:
    """SB3's loop; its events are written by TensorBoard, whose errors name no file."""
    try:
        model.learn(
            max(0, config.timesteps - model.num_timesteps),
            callback=watch,
            tb_log_name=config.algorithm,
            reset_num_timesteps=not going_on,
        )
    except OSError as fault:
        raise unwritable(fault.filename or f"{watch.found.folder}/tensorboard", fault) from fault


def _take_up(model: OnPolicyAlgorithm, found: Trained, checkpoints: Checkpoints) -> bool:
    """Put a model where its last checkpoint left it, and note what it had found; False where there is none yet."""
    if not checkpoints.exist:
        say_no_checkpoint("step 0")
        return False
    saved = checkpoints.read("cpu")
    try:
        evaluations = check_evaluations(saved.get("evaluations"))
        check_fits(saved.get("seconds"), 0.0, "seconds")
        put_back(model, saved.get("model"))
    except (Misfit, ConfigError) as fault:
        raise checkpoints.misfit(fault) from fault
    found.evaluations, found.seconds = evaluations, saved["seconds"]
    return True
