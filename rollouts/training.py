"""Which training a scenario gets: through the channel where the world is one of messages, else by reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..envs import spec
from ..envs.errors import ConfigError
from ..envs.messages import MessageWorld
from ..scenarios import Scenario
from . import backprop
from .trained import Trained

_BY_REWARD = ("timesteps",)
_BY_GRADIENT = ("updates", "cpu_seconds")


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
        algorithm: "backprop", or one of :data:`~studyhall.rollouts.algorithms.ALGORITHMS`; None takes "backprop" in
            message worlds and "ppo" elsewhere.
        assignments: As given to ``--set``.
        out: The folder; None takes a free one.
        resume: Folder of a stopped training, which is taken up again.
        **options: Fields of the algorithm's config; None takes the default.

    Raises:
        ConfigError: An option that cannot be, or is none of the algorithm's.
    """
    messages = issubclass(spec(scenario.env).load(), MessageWorld)
    chosen = algorithm.lower() if algorithm else "backprop" if messages else "ppo"
    for name in _BY_REWARD if chosen == "backprop" else _BY_GRADIENT:
        if options.pop(name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} is no option of {chosen}")
    if resume is not None and out is not None:
        raise ConfigError("--resume goes on in its own folder: leave out --out")
    if chosen == "backprop":
        if resume is not None:
            if assignments:
                raise ConfigError("--resume goes on as the training began: leave out --set")
            return backprop.train(backprop.resumed(resume, **options), resume, resume=True)
        return backprop.train(backprop.configure(scenario, assignments=assignments, **options), out)
    from . import train

    return train.train(train.configure(scenario, algorithm=chosen, assignments=assignments, **options), out)
