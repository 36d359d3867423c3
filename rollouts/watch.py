"""What goes on around Stable-Baselines3's loop: evaluation on held-out worlds, the best so far, checkpoints, stops."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from ..envs import make_world
from .checkpoints import Checkpoints
from .figures import figure
from .sb3_state import state_of
from .trained import Trained, TrainingProgress
from .trainees import trainee_of

if TYPE_CHECKING:
    from .train import TrainConfig

_EVAL_SEED = 10_000
"""Held-out worlds have seeds from here on, far from those a run measures: a best chosen on these would be a
claim that chose itself."""


class Evaluation:
    """The figure of the deterministic policy on held-out worlds, always the same ones; see :class:`Trainee`.

    Args:
        config: Says which world.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.trainee = trainee_of(config.scenario)
        kwargs = self.trainee.held_out_kwargs(config.scenario)
        self.world = make_world(config.scenario.env, num_worlds=config.eval_worlds, autoreset=False, **kwargs)

    def __call__(self, model: OnPolicyAlgorithm, stop: Callable[[], bool]) -> float | None:
        """The mean over one episode of every world; None where ``stop`` said so on the way."""
        policy = self.trainee.acting(model.policy)
        policy.bind(self.world)
        obs = self.world.reset(seed=_EVAL_SEED, options={"domain": "eval"})
        policy.reset()
        while not self.world.ended.all():
            if stop():
                return None
            with torch.no_grad():
                obs = self.world.step(policy.act(obs)).obs
        return float(self.world.metrics()[self.trainee.figure].mean())


class Stopped(Exception):  # noqa: N818  # no fault: the user asked for it
    """Ends SB3's loop between two rollouts, where a training can be taken up again."""


class Watch(BaseCallback):
    """Shows how training goes, evaluates when it is time, keeps the best, and stops when asked.

    Args:
        config: What is trained.
        evaluation: Judges it.
        found: Is told what came of it, and says where to keep it.
        checkpoints: Of the training.
        bar: Shows it.
        stop: Whether the user asked to stop.
    """

    def __init__(
        self,
        config: TrainConfig,
        evaluation: Evaluation,
        found: Trained,
        checkpoints: Checkpoints,
        bar: TrainingProgress,
        stop: Callable[[], bool],
    ) -> None:
        super().__init__()
        self.config, self.evaluation, self.found, self.bar, self.stop = config, evaluation, found, bar, stop
        self.checkpoints = checkpoints
        self._figure = f"{found.figure.replace('_', ' ')} on held-out worlds"
        self._reward = math.nan
        self._before, self._first = found.seconds, 0
        self._begun = self._shown = time.perf_counter()

    def _on_training_start(self) -> None:
        self._first = self.model.num_timesteps

    def _on_step(self) -> bool:
        reward = float(self.locals["rewards"].mean())
        self._reward = reward if math.isnan(self._reward) else 0.99 * self._reward + 0.01 * reward
        now = time.perf_counter()
        if now - self._shown >= 0.1:
            self._shown = now
            self.bar.show(self.num_timesteps, self._figures(now))
        return True

    def _on_rollout_start(self) -> None:  # the update before, if any, has just been made
        last = self.found.evaluations[-1][0] if self.found.evaluations else -self.config.eval_every
        if self.model.num_timesteps // self.config.eval_every > last // self.config.eval_every:
            self.evaluate_and_keep()
        if self.stop():
            raise Stopped

    def evaluate_and_keep(self) -> None:
        """Evaluate the policy as it is now, unless that was just done, and save it if it is the best so far."""
        at = self.model.num_timesteps
        if self.found.evaluations and self.found.evaluations[-1][0] == at:
            return
        value = self.evaluation(self.model, self.stop)  # type: ignore[arg-type]
        if value is None:
            return
        best = self.found.evaluated(at, value)
        self.logger.record(f"eval/{self.found.figure}", value)
        self.logger.dump(at)  # SB3 would, but only after the next steps
        self.bar.tell(f"{self._figure} {figure(value)} after {at:,} agent-steps")
        if best:
            self.save("best.zip", **{f"eval_{self.found.figure}": value})
        self.keep()

    def keep(self) -> None:
        """Write the checkpoint."""
        self.found.timesteps = self.model.num_timesteps
        self.found.seconds = self._before + time.perf_counter() - self._begun
        model: Any = self.model
        state = {"evaluations": self.found.evaluations, "seconds": self.found.seconds}
        self.checkpoints.write({"model": state_of(model), **state})

    def save(self, name: str, **more: Any) -> None:
        """Save the policy as it is now."""
        config = self.config
        about = {
            "scenario": config.scenario.name,
            "seed": config.seed,
            "worlds": config.worlds,
            "settings": dataclasses.asdict(config.settings),
            "command": config.command,
            **more,
        }
        self.evaluation.trainee.save(self.model, self.found.folder / name, about)  # type: ignore[arg-type]

    def _figures(self, now: float) -> str:
        last = figure(self.found.evaluations[-1][1]) if self.found.evaluations else "–"
        rate = (self.num_timesteps - self._first) / (now - self._begun)
        return f"reward {figure(self._reward, 4)} · {self._figure} {last} · {rate:,.0f} agent-steps/s"
