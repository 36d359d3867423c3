"""Which training a scenario gets: through the channel where gradients pass through it, else by reward.

Evolution strategies train where they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...envs import spec
from ...envs.errors import ConfigError
from ...scenarios import Scenario
from ..settings.parse import own_policy_of
from ..storage.folders import ANEW, read_config
from .trained import Trained

THROUGH_CHANNEL = ("backprop", "reinforce")
"""Algorithms that learn through the channel."""
EVOLUTION = ("es",)
"""Algorithms that try variants in whole episodes; all others learn by reward."""


def begin(
    scenario: Scenario,
    *,
    algorithm: str | None = None,
    assignments: Sequence[str] = (),
    out: Path | None = None,
    resume: Path | None = None,
    **options: Any,
) -> Trained:
    """Train as the options of ``studyhall train`` say.

    Args:
        scenario: The scenario.
        algorithm: "backprop", "reinforce", "es", or one of
            :data:`~studyhall.rollouts.training.algorithms.ALGORITHMS`; None takes what a training that is resumed was
            begun with, else "backprop" in message worlds and "ppo" elsewhere.
        assignments: As given to ``--set``.
        out: The folder; None takes a free one.
        resume: Folder of a stopped training, which is taken up again.
        **options: Fields of the algorithm's config; None takes the usual one.

    Raises:
        ConfigError: An option that cannot be, or is none of the algorithm's.
    """
    if resume is not None and out is not None:
        raise ConfigError("--resume goes on in its own folder: leave out --out")
    own_policy = None if resume is None else own_policy_of(assignments)
    usual = "backprop" if spec(scenario.env).load().differentiable else "ppo"
    chosen = (algorithm or (resume and _algorithm_of(resume)) or usual).lower()
    if chosen in THROUGH_CHANNEL:
        from . import through_channel as training
    elif chosen in EVOLUTION:
        from . import evolution as training  # type: ignore[no-redef]
    else:
        from . import by_reward as training  # type: ignore[no-redef]
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in training.OPTIONS:
            raise ConfigError(f"--{name.replace('_', '-')} is no option of {chosen}")
    if resume is None:
        config = training.configure(scenario, algorithm=chosen, assignments=assignments, **options)
        return training.train(config, out)
    begun = training.resumed(resume, own_policy, **options)
    if begun.scenario.name != scenario.name:
        raise ConfigError(f"{resume} is a training of {begun.scenario.name}, not of {scenario.name}")
    if begun.algorithm != chosen:
        raise ConfigError(f"{resume} is a training by {begun.algorithm}, not by {chosen}")
    return training.train(begun, resume, resume=True)


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


def _algorithm_of(folder: Path) -> str:
    """What a training was begun with."""
    return str(read_config(folder, "training").get("algorithm", "backprop"))
