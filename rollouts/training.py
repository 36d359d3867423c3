"""Which training a scenario gets: through the channel where the world is one of messages, else by reward.

"reinforce" is the training through the channel with symbols that are drawn and learnt by REINFORCE. Its baseline is the
mean over worlds, so there are many of one sample each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..envs import spec
from ..envs.errors import ConfigError
from ..envs.messages.world import MessageWorld
from ..scenarios import Scenario
from . import backprop
from .folders import read_config
from .settings import own_policy_of
from .trained import Trained

_BY_REWARD = ("timesteps",)
_BY_GRADIENT = ("updates", "cpu_seconds", "device")
_THROUGH_CHANNEL = ("backprop", "reinforce")


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
        algorithm: "backprop", "reinforce", or one of :data:`~studyhall.rollouts.algorithms.ALGORITHMS`; None takes
            what a training that is resumed was begun with, else "backprop" in message worlds and "ppo" elsewhere.
        assignments: As given to ``--set``.
        out: The folder; None takes a free one.
        resume: Folder of a stopped training, which is taken up again.
        **options: Fields of the algorithm's config; None takes the default.

    Raises:
        ConfigError: An option that cannot be, or is none of the algorithm's.
    """
    if resume is not None and out is not None:
        raise ConfigError("--resume goes on in its own folder: leave out --out")
    own_policy = None if resume is None else own_policy_of(assignments)
    talks = issubclass(spec(scenario.env).load(), MessageWorld)
    usual = "backprop" if talks else "ppo"
    chosen = (algorithm or (resume and _algorithm_of(resume)) or usual).lower()
    through_channel = chosen in _THROUGH_CHANNEL
    for name in _BY_REWARD if through_channel else _BY_GRADIENT:
        if options.pop(name, None) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} is no option of {chosen}")
    if through_channel:
        if resume is not None:
            found = backprop.resumed(resume, own_policy, **options)
            _check_same(resume, found.scenario, scenario)
            if found.algorithm != chosen:
                raise ConfigError(f"{resume} is a training by {found.algorithm}, not by {chosen}")
            return backprop.train(found, resume, resume=True)
        if chosen == "reinforce":
            if not talks:
                raise ConfigError(f"{scenario.name} is no message world: train it with --algo ppo or a2c")
            scenario = _reinforced(scenario)
        config = backprop.configure(scenario, assignments=assignments, algorithm=chosen, **options)
        return backprop.train(config, out)
    from . import train

    if resume is not None:
        begun = train.resumed(resume, own_policy, **options)
        _check_same(resume, begun.scenario, scenario)
        if begun.algorithm != chosen:
            raise ConfigError(f"{resume} is a training by {begun.algorithm}, not by {chosen}")
        return train.train(begun, resume, resume=True)
    return train.train(train.configure(scenario, algorithm=chosen, assignments=assignments, **options), out)


def _reinforced(scenario: Scenario) -> Scenario:
    """A scenario of messages as REINFORCE learns it; 10 symbols where it has numbers."""
    return dataclasses.replace(
        scenario,
        env_kwargs={"vocabulary": 10, **scenario.env_kwargs, "slice_size": 1},
        policy_kwargs={**scenario.policy_kwargs, "estimator": "sampled"},
        training={**scenario.training, "worlds": 128, "eval_worlds": 1024},
    )


def _algorithm_of(folder: Path) -> str:
    """What a training was begun with."""
    return str(read_config(folder, "training").get("algorithm", "backprop"))


def _check_same(folder: Path, begun: Scenario, asked: Scenario) -> None:
    if begun.name != asked.name:
        raise ConfigError(f"{folder} is a training of {begun.name}, not of {asked.name}")
