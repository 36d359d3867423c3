"""Running a scenario: every seed and every control side by side in one batch of worlds."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..envs import make_world
from ..envs.errors import ConfigError
from ..policies import make_policy
from ..scenarios import Scenario
from .measure import Measured, measure

CHECKPOINT = "checkpoint.pt"
_CURVE_POINTS = 200


@dataclass
class Live:
    """The live figures of a run, for progress bars."""

    step: int
    steps: int
    exam: float  # mean exam accuracy of the open worlds
    best: float  # mean over worlds of the best student's
    budget: float  # fraction of the teacher's budget left; NaN where the world has none
    kib: float  # KiB sent per open world so far
    steps_per_second: float


@dataclass
class Report:
    """What a run found.

    Attributes:
        scenario: What was run, overrides included.
        seeds: World seeds, one column each below.
        metrics: Mode ("open" or a control) to metric to one value per seed; ``…@1000`` is a value at step 1000.
        students: Mode to test accuracy of every student, ``[seeds][N]``.
        curves: Mode to exam accuracy over time, ``[points][seeds][N]``; ``steps`` are their abscissae.
        steps: See ``curves``.
        seconds: Wall time of the simulation.
    """

    scenario: Scenario
    seeds: tuple[int, ...]
    metrics: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    students: dict[str, list[list[float]]] = field(default_factory=dict)
    curves: dict[str, list[list[list[float]]]] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def modes(self) -> list[str]:
        """"open", then the controls."""
        return ["open", *self.scenario.controls]

    def social_gain(self, metric: str = "mean") -> dict[str, list[float]]:
        """Control to open − control, seed by seed."""
        own = self.metrics["open"][metric]
        return {
            mode: [a - b for a, b in zip(own, self.metrics[mode][metric], strict=True)]
            for mode in self.scenario.controls
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        return {
            "scenario": dataclasses.asdict(self.scenario),
            "seeds": list(self.seeds),
            "metrics": self.metrics,
            "students": self.students,
            "social_gain": self.social_gain() if "mean" in self.metrics.get("open", {}) else {},
            "curve": {"steps": self.steps, "exam_accuracy": self.curves},
            "seconds": self.seconds,
        }


class Rollout:
    """One run of a scenario, which can be saved at any step and taken up again.

    Args:
        scenario: What to run.
        seeds: World seeds; None takes the scenario's.
        device: Where the tensors live.
    """

    def __init__(self, scenario: Scenario, *, seeds: tuple[int, ...] | None = None, device: str = "cpu") -> None:
        self.seeds = scenario.seeds if seeds is None else tuple(seeds)
        if not self.seeds:
            raise ConfigError("a run needs at least one seed")
        self.scenario = scenario
        self.modes = ["open", *scenario.controls]
        kwargs = dict(scenario.env_kwargs)
        if scenario.controls:
            kwargs["mode"] = [mode for mode in self.modes for _ in self.seeds]
        self.world = make_world(
            scenario.env,
            num_worlds=len(self.seeds) * len(self.modes),
            device=device,
            autoreset=False,
            **kwargs,
        )
        self.policy = make_policy(scenario.policy, **scenario.policy_kwargs)
        self.policy.bind(self.world)
        self.obs = self.world.reset(seed=list(self.seeds) * len(self.modes), options={"domain": "eval"})
        self.policy.reset()
        self.report = Report(scenario, self.seeds)
        self._done = 0
        self._before = 0.0  # seconds spent before a resume

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return self.world.horizon

    def run(
        self,
        *,
        on_step: Callable[[Live], None] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: float = 20.0,
    ) -> Report:
        """Run to the end of the episode.

        Args:
            on_step: Is told the live figures after every step.
            checkpoint: Folder to save into every ``checkpoint_every`` seconds.
            checkpoint_every: Seconds.
        """
        begun = saved = time.perf_counter()
        every = max(1, self.steps // _CURVE_POINTS)
        over = False
        while not over:
            step = self.world.step(self.policy.act(self.obs))
            self.obs = step.obs
            self._done += 1
            over = bool((self.world.clock >= self.steps).all() or step.terminated.all())
            if over:
                self.policy.end(step.final_obs, step.terminated | step.truncated)
            if over or self._done % every == 0:
                self._record_curve()
            if self._done in self.scenario.measure_at and not over:
                self._record(measure(self.world, self.policy, controls=True), f"@{self._done}")
            now = time.perf_counter()
            if on_step is not None:
                on_step(self._live(self._done / (now - begun + self._before)))
            if checkpoint is not None and now - saved > checkpoint_every and not over:
                self.report.seconds = self._before + now - begun
                self.save(checkpoint)
                saved = now
        self.report.seconds = self._before + time.perf_counter() - begun
        self._record(measure(self.world, self.policy), "")
        self._record_ledger()
        return self.report

    # ---- recording ----------------------------------------------------------------------------------

    def _rows(self, mode: str) -> slice:
        start = self.modes.index(mode) * len(self.seeds)
        return slice(start, start + len(self.seeds))

    def _record_curve(self) -> None:
        accuracy = self.world.metrics()["exam_accuracy"].cpu()
        self.report.steps.append(self._done)
        for mode in self.modes:
            self.report.curves.setdefault(mode, []).append(accuracy[self._rows(mode)].tolist())

    def _record(self, found: Measured | None, suffix: str) -> None:
        for mode in self.modes:
            metrics = self.report.metrics.setdefault(mode, {})
            for name, values in (found or {}).items():
                rows = values[self._rows(mode)].cpu().tolist()
                if values.dim() == 1:
                    metrics[name + suffix] = rows
                elif name + suffix == "students":
                    self.report.students[mode] = rows

    def _record_ledger(self) -> None:
        """Labels revealed (rows of answered calls), KiB sent, calls and the mean return."""
        final = {k: v.cpu() for k, v in self.world.metrics().items()}
        rows = self.world.action_space["soft_targets"].shape[0]  # type: ignore[index]
        for mode in self.modes:
            at, metrics = self._rows(mode), self.report.metrics.setdefault(mode, {})
            metrics["calls"] = final["calls"][at].tolist()
            metrics["labels"] = (final["calls"][at] * rows).tolist()
            metrics["kib"] = (final["bytes"][at].sum(-1) / 1024).tolist()
            metrics["return"] = final["return"][at].mean(-1).tolist()
            metrics["exam_accuracy"] = final["exam_accuracy"][at].mean(-1).tolist()

    def _live(self, rate: float) -> Live:
        metrics, rows = self.world.metrics(), self._rows("open")
        accuracy = metrics["exam_accuracy"][rows]
        return Live(
            step=self._done,
            steps=self.steps,
            exam=float(accuracy.mean()),
            best=float(accuracy.amax(-1).mean()),
            budget=float(self.obs["report"][rows, 0, -1].mean()),
            kib=float(metrics["bytes"][rows].sum(-1).mean()) / 1024,
            steps_per_second=rate,
        )

    # ---- saving -------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "world": self.world.state_dict(),
            "policy": self.policy.state_dict(),
            "done": self._done,
            "report": {
                "metrics": self.report.metrics,
                "curves": self.report.curves,
                "steps": self.report.steps,
                "seconds": self.report.seconds,
            },
        }
        partial = folder / f".{CHECKPOINT}.part"
        torch.save(state, partial)
        os.replace(partial, folder / CHECKPOINT)

    def load(self, folder: Path) -> None:
        """Take up a run where its last checkpoint left it."""
        saved: Mapping[str, Any] = torch.load(folder / CHECKPOINT, map_location=self.world.device, weights_only=True)
        self.world.load_state_dict(saved["world"])
        self.policy.load_state_dict(saved["policy"])
        self._done = saved["done"]
        for name, value in saved["report"].items():
            setattr(self.report, name, value)
        self._before = self.report.seconds
        self.obs = self.world.observe(self.world._state)


def rollout(
    scenario: Scenario,
    *,
    seeds: tuple[int, ...] | None = None,
    device: str = "cpu",
    on_step: Callable[[Live], None] | None = None,
) -> Report:
    """Run a scenario to its end and report; see :class:`Rollout` for saving and resuming."""
    return Rollout(scenario, seeds=seeds, device=device).run(on_step=on_step)
