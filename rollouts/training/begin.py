"""Which training a scenario gets: through the channel where gradients pass through it, else by reward.

Evolution strategies train where they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...envs import spec
from ...envs.errors import ConfigError, text
from ...envs.files import as_path
from ...envs.validation import mapping
from ...scenarios import Scenario, get_scenario
from ..reports.loggers import NO_LOGGERS, Loggers, loggers_of
from ..settings.parse import Assignments, own_policy_of, parse_device
from ..storage.folders import ANEW, read_config
from .config import TrainingConfig
from .trained import Trained

THROUGH_CHANNEL = ("backprop", "reinforce")
"""Algorithms that learn through the channel."""
EVOLUTION = ("es",)
"""Algorithms that try variants in whole episodes; all others learn by reward."""


def train(
    scenario: Scenario | str | None = None,
    *,
    algorithm: str | None = None,
    settings: Mapping[str, Any] | None = None,
    policy: str | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
    timesteps: int | None = None,
    updates: int | None = None,
    cpu_seconds: float | None = None,
    worlds: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    eval_every: int | None = None,
    eval_worlds: int | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    log: str | Iterable[str] | None = None,
    **changes: Any,
) -> Trained:
    """Train the policy of a scenario's world and keep the best, as ``studyhall train`` does.

    A first Ctrl-C stops after the running update, and ``resume`` goes on. What can be left out has the defaults that
    ``studyhall train --help`` tells.

    Args:
        scenario: What to train in, or the name of one that is registered; where a training is resumed it is known.
        algorithm: "ppo", "a2c", "es", "backprop", …
        settings: Of the algorithm, e.g. ``{"learning_rate": 3e-4}``.
        policy: Name of another policy, where the scenario's policy is what is trained.
        policy_kwargs: Its arguments.
        timesteps: Agent-steps, of trainings by reward.
        updates: Of trainings that count them.
        cpu_seconds: After which trainings through the channel stop.
        worlds: Side by side.
        seed: Of everything that is random.
        device: Of trainings through the channel and by evolution.
        threads: CPU threads.
        eval_every: Between two evaluations, in the unit of the length.
        eval_worlds: Held-out worlds of an evaluation.
        out: Folder to write, new or empty; None takes the first free ``runs/<scenario>-<algorithm>-<n>``.
        resume: Folder of a stopped training, to be taken up again.
        log: Loggers that are told the curve as it is made, ``"wandb"`` or ``"mlflow"``, or both; of a training that is
            resumed all of it.
        **changes: Arguments of the world, e.g. ``agents=8``.

    Returns:
        What came of it; it prints as what ``studyhall train`` says.

    Raises:
        UnknownName: No such scenario, policy or argument; lists the near ones.
        ConfigError: A value that cannot be, or a folder that cannot be used.
    """
    if scenario is None and resume is None:
        raise ConfigError("which scenario? give its name, e.g. train('society-liar-digits')")
    resumed = None if resume is None else as_path("resume", resume, ConfigError)
    chosen = scenario if scenario is not None else scenario_of(resumed or Path())
    found = chosen if isinstance(chosen, Scenario) else get_scenario(chosen)
    name = _chosen(algorithm, found, resumed)
    assignments = {**changes, **({} if policy is None else {"policy": policy})}
    assignments |= {f"policy.{key}": value for key, value in mapping("policy_kwargs", policy_kwargs).items()}
    head = THROUGH_CHANNEL[0] if name in THROUGH_CHANNEL else name
    assignments |= {f"{head}.{key}": value for key, value in mapping("settings", settings).items()}
    return begin(
        found,
        algorithm=name,
        assignments=assignments,
        out=None if out is None else as_path("out", out, ConfigError),
        resume=resumed,
        timesteps=timesteps,
        updates=updates,
        cpu_seconds=cpu_seconds,
        worlds=worlds,
        seed=seed,
        device=None if device is None else parse_device(device),
        threads=threads,
        eval_every=eval_every,
        eval_worlds=eval_worlds,
        log=loggers_of(log),
    )


def begin(
    scenario: Scenario,
    *,
    algorithm: str | None = None,
    assignments: Assignments = (),
    out: Path | None = None,
    resume: Path | None = None,
    log: Loggers = NO_LOGGERS,
    **options: Any,
) -> Trained:
    """Train as the options of ``studyhall train`` say: :func:`settle`, then :func:`carry_out`."""
    config = settle(scenario, algorithm=algorithm, assignments=assignments, out=out, resume=resume, **options)
    return carry_out(config, out, resume, log)


def settle(
    scenario: Scenario,
    *,
    algorithm: str | None = None,
    assignments: Assignments = (),
    out: Path | None = None,
    resume: Path | None = None,
    **options: Any,
) -> TrainingConfig:
    """What is to be trained, from the options of ``studyhall train``, or from the folder that is resumed.

    Args:
        scenario: The scenario.
        algorithm: "backprop", "reinforce", "es", or one of
            :data:`~studyhall.rollouts.training.algorithms.ALGORITHMS`; None takes what a training that is resumed was
            begun with, else "backprop" in message worlds and "ppo" elsewhere.
        assignments: As given to ``--set``, or a mapping.
        out: The folder; None takes a free one.
        resume: Folder of a stopped training, which is taken up again.
        **options: Fields of the algorithm's config; None takes the usual one.

    Raises:
        ConfigError: An option that cannot be, or is none of the algorithm's.
    """
    if resume is not None and out is not None:
        raise ConfigError("--resume goes on in its own folder: leave out --out")
    own_policy = None if resume is None else own_policy_of(assignments)
    chosen = _chosen(algorithm, scenario, resume)
    if resume is None:
        return configure(scenario, algorithm=chosen, assignments=assignments, **options)
    begun: TrainingConfig = _module(chosen).resumed(resume, own_policy, **_given(chosen, options))
    if begun.scenario.name != scenario.name:
        raise ConfigError(f"{resume} is a training of {begun.scenario.name}, not of {scenario.name}")
    if begun.algorithm != chosen:
        raise ConfigError(f"{resume} is a training by {begun.algorithm}, not by {chosen}")
    return begun


def carry_out(
    config: TrainingConfig, out: Path | None, resume: Path | None = None, log: Loggers = NO_LOGGERS
) -> Trained:
    """Train what was settled: into a folder, or where None a free one; or in that of a training that goes on.

    ``log`` are loggers that are told, as of :func:`~studyhall.rollouts.reports.loggers.loggers_of`.
    """
    return _module(config.algorithm).train(config, resume or out, resume=resume is not None, log=log)


def configure(
    scenario: Scenario, *, algorithm: str | None = None, assignments: Assignments = (), **options: Any
) -> TrainingConfig:
    """What the options of ``studyhall train`` say, arguments as of :func:`begin`.

    Raises:
        ConfigError: An option that cannot be, or is none of the algorithm's.
    """
    chosen = _chosen(algorithm, scenario, None)
    given = _given(chosen, options)
    return _module(chosen).configure(scenario, algorithm=chosen, assignments=assignments, **given)


def scenario_of(folder: Path) -> str:
    """Name of the scenario of a training.

    Raises:
        ConfigError: The folder does not say.
    """
    try:
        return str(read_config(folder, "training")["scenario"]["name"])
    except (KeyError, TypeError) as fault:
        raise ConfigError(
            f"{folder}/config.json is not what a training writes: {ANEW['training']}"
        ) from fault


def _module(algorithm: str) -> Any:
    """What trains by an algorithm."""
    if algorithm in THROUGH_CHANNEL:
        from . import through_channel as training
    elif algorithm in EVOLUTION:
        from . import evolution as training  # type: ignore[no-redef]
    else:
        from . import by_reward as training  # type: ignore[no-redef]
    return training


def _given(algorithm: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given.

    Raises:
        ConfigError: One is none of the algorithm's.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in _module(algorithm).OPTIONS:
            raise ConfigError(f"--{name.replace('_', '-')} is no option of {algorithm}")
    return given


def _chosen(asked: str | None, scenario: Scenario, resume: Path | None) -> str:
    """The algorithm; what was not asked for is that of the training that is resumed, or the usual one."""
    usual = "backprop" if spec(scenario.env).load().differentiable else "ppo"
    if asked is not None:
        text("algorithm", asked, usual)
    return (asked or (resume and _algorithm_of(resume)) or usual).lower()


def _algorithm_of(folder: Path) -> str:
    """What a training was begun with."""
    return str(read_config(folder, "training").get("algorithm", "backprop"))
