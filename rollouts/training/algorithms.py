"""The algorithms that learn from rewards, and their settings."""

from __future__ import annotations

from dataclasses import dataclass

from stable_baselines3 import A2C, PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from ...envs.validation import real, whole


@dataclass(frozen=True)
class Settings:
    """What every algorithm is trained with; each can be set with ``--set ALGO.NAME=VALUE``.

    Args:
        learning_rate: Falls linearly to 0.
        n_steps: Steps of every agent between two updates.
        gamma: Discount. Progress follows soon upon what was learnt, so a short view has far less noise.
        gae_lambda: λ of generalised advantage estimation.
        ent_coef: Weight of the entropy.
        vf_coef: Weight of the value's loss.
        max_grad_norm: Gradients are clipped to it.
        width: Of the network's hidden layers.
        log_std_init: Initial logarithm of the actions' standard deviations, where actions are numbers; wide
            exploration makes trainings more alike.

    Raises:
        ConfigError: A value out of range.
    """

    learning_rate: float = 1e-3
    n_steps: int = 25
    gamma: float = 0.95
    gae_lambda: float = 0.9
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    width: int = 64
    log_std_init: float = 0.0

    def __post_init__(self) -> None:
        for name in ("n_steps", "width"):
            whole(name, getattr(self, name), 1)
        for name in ("learning_rate", "ent_coef", "vf_coef", "max_grad_norm"):
            real(name, getattr(self, name), 0)
        for name in ("gamma", "gae_lambda"):
            real(name, getattr(self, name), 0, 1)
        real("log_std_init", self.log_std_init, -10, 2)


@dataclass(frozen=True)
class PPOSettings(Settings):
    """Those of PPO besides.

    Args:
        batch_size: Agent-steps of a minibatch at most; the next smaller divisor of all there are is taken.
        n_epochs: Passes over what was collected.
        clip_range: Of probability ratios.
    """

    batch_size: int = 4000
    n_epochs: int = 4
    clip_range: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("batch_size", self.batch_size, 2)  # advantages are normalised within it
        whole("n_epochs", self.n_epochs, 1)
        real("clip_range", self.clip_range, 0)


@dataclass(frozen=True)
class A2CSettings(Settings):
    """Those of A2C, which makes one update of everything it has just collected."""

    n_steps: int = 10


ALGORITHMS: dict[str, tuple[type[OnPolicyAlgorithm], type[Settings]]] = {
    "ppo": (PPO, PPOSettings),
    "a2c": (A2C, A2CSettings),
}
"""Name to the algorithm and what sets it."""
