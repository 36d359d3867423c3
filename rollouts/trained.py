"""What came of a training, and the folder it is in; the same for every algorithm."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..policies.files import name_of
from ..scenarios import Scenario
from .checkpoints import Checkpoints
from .figures import figure
from .folders import ANEW, new_folder, own_folder, write_config
from .interrupts import INTERRUPTED
from .output import as_json
from .progress import LiveProgress


@dataclass
class Trained:
    """What came of a training.

    Attributes:
        folder: Where it is.
        figure: What held-out worlds are evaluated by: the "return" of an agent, another metric, or the "loss".
        world: Settings of the world it was trained in that are not the scenario's own, to run it with.
        policy: Its name where it is a user's own, ``"module:Class"``.
        per_update: Agent-steps of an update, where updates are what is counted.
        evaluations: Agent-steps and that figure, in order.
        timesteps: Agent-steps made.
        seconds: Wall time, evaluations included.
        stopped: Whether the user stopped it early.
    """

    folder: Path
    figure: str = "return"
    world: list[str] = field(default_factory=list)
    policy: str | None = None
    per_update: int | None = None
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    timesteps: int = 0
    seconds: float = 0.0
    stopped: bool = False

    def __repr__(self) -> str:
        """Where it is and what came of it."""
        return f"<Trained {self.folder}: {self.told()}; {self.counted(self.timesteps)} made>"

    @property
    def best(self) -> tuple[int, float]:
        """Agent-steps and figure of ``best.zip``; NaN where nothing was evaluated, or to nothing finite."""
        return max(
            self.evaluations, key=lambda found: self._worth(found[1]), default=(self.timesteps, math.nan)
        )

    @property
    def improved(self) -> bool | None:
        """Whether training found anything better than its start; None where it was not evaluated since."""
        if len(self.evaluations) < 2:
            return None
        return self.best[0] > self.evaluations[0][0]

    def counted(self, timesteps: int) -> str:
        """Agent-steps as people count them."""
        return (
            f"{timesteps:,} agent-steps"
            if self.per_update is None
            else f"{timesteps // self.per_update:,} updates"
        )

    @property
    def kept(self) -> Path:
        """The file of what was measured to be best; the last where nothing was evaluated."""
        return self.folder / ("last.zip" if math.isnan(self.best[1]) else "best.zip")

    def told(self) -> str:
        """What came of it, as a line: the best on held-out worlds, and whether that was the start."""
        if math.isnan(self.best[1]):
            return f"no evaluation gave a number: {self.kept} is as training left it, perhaps no better than its start"
        found = f"{self.figure.replace('_', ' ')} on held-out worlds {figure(self.best[1])}"
        if self.improved:
            return f"{found} after {self.counted(self.best[0])}, from {figure(self.evaluations[0][1])} at the start"
        if self.improved is None:
            return f"{found} at the start; what was learnt since was not evaluated, {self.kept} is the start"
        return (
            f"training did not improve on its start: {found} before any update, and {self.kept} is the start; "
            "try a lower learning rate, or a longer training"
        )

    def run_with(self) -> list[str]:
        """What to give ``studyhall run`` by ``--set``."""
        path = self.kept
        policy = (
            [f"policy={path}"] if self.policy is None else [f"policy={self.policy}", f"policy.weights={path}"]
        )
        return [*self.world, *policy]

    def evaluated(self, timesteps: int, value: float) -> bool:
        """Note an evaluation; whether it is the best so far."""
        best = not self.evaluations or self._worth(value) > self._worth(self.best[1])
        self.evaluations.append((timesteps, value))
        return best

    def _worth(self, value: float) -> float:
        return -math.inf if math.isnan(value) else -value if self.figure == "loss" else value

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        return {
            "folder": str(self.folder),
            "best": str(self.kept),
            "last": str(self.folder / "last.zip"),
            "best_timesteps": self.best[0],
            f"best_{self.figure}": self.best[1],
            "evaluations": [{"timesteps": at, self.figure: value} for at, value in self.evaluations],
            "timesteps": self.timesteps,
            "seconds": self.seconds,
            "agent_steps_per_second": self.timesteps / self.seconds if self.seconds else None,
            "stopped": self.stopped,
            "improved": self.improved,
        }


class TrainingProgress(LiveProgress):
    """A bar of what a training has done so far."""

    def show(self, done: int, figures: str) -> None:
        """Show how many agent-steps are done, and the figures."""
        self._bar.figures = figures
        self._bar.update(self._task, completed=done)

    def tell(self, line: str) -> None:
        """Print a line where there is no bar to show its figures."""
        if not self._live:
            print(f"studyhall: {line}", file=sys.stderr)


def plain(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON holds them; what JSON lacks, like a factory of modules, is named."""
    return json.loads(json.dumps(dict(kwargs), default=name_of))


def registered(name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Arguments of the world and of the policy of a registered scenario; none where it is not registered."""
    from ..scenarios import registry

    return (registry[name].env_kwargs, registry[name].policy_kwargs) if name in registry else ({}, {})


def world_settings(scenario: Scenario) -> list[str]:
    """``KEY=VALUE`` for every argument of a scenario's world that is not the registered one."""
    usual = plain(registered(scenario.name)[0])
    return [
        f"{name}={value if isinstance(value, str) else as_json(value)}"
        for name, value in plain(scenario.env_kwargs).items()
        if usual.get(name, ...) != value
    ]


def describe(folder: Path, config: Any) -> None:
    """Write ``config.json``; arguments as of :func:`training_folder`."""
    scenario = dataclasses.replace(
        config.scenario,
        env_kwargs=plain(config.scenario.env_kwargs),
        policy_kwargs=plain(config.scenario.policy_kwargs),
    )
    described = dataclasses.asdict(dataclasses.replace(config, scenario=scenario))
    write_config(folder, {**described, "command": config.command})


@contextlib.contextmanager
def training_folder(out: Path | None, config: Any, *, resume: bool) -> Iterator[Path]:
    """The folder of a training, kept from other processes until the block ends; a new one gets its ``config.json``.

    Args:
        out: The folder; None takes the first free ``runs/<scenario>-<algorithm>-<n>``.
        config: A dataclass with ``scenario``, ``algorithm`` and ``command``.
        resume: Whether the folder holds a training already, which is taken up again.

    Raises:
        ConfigError: It cannot be written, holds something, or another process is at work in it.
    """
    if resume:
        assert out is not None
        with own_folder(out, "training"):
            yield out
    else:
        with new_folder(out, f"{config.scenario.name}-{config.algorithm}") as path:
            describe(path, config)
            yield path


def checkpoints_of(folder: Path, config: Any, changeable: Sequence[str]) -> Checkpoints:
    """The checkpoints of a training, in its folder.

    Args:
        folder: Of the training.
        config: As of :func:`training_folder`.
        changeable: Fields of the config that may change when the training is taken up again.
    """
    scenario, settings = config.scenario, dataclasses.asdict(config.settings)
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    decides = {name: value for name, value in fields.items() if name not in (*changeable, "scenario")}
    of_scenario = {name: getattr(scenario, name) for name in ("env", "env_kwargs", "policy", "policy_kwargs")}
    return Checkpoints(folder, {**of_scenario, **decides, "settings": settings}, ANEW["training"])


def interrupted(found: Trained) -> SystemExit:
    """What ends the program where the user stopped a training; says what was kept, and how to go on."""
    print(
        f"studyhall: stopped after {found.counted(found.timesteps)}; go on with: studyhall train --resume "
        f"{found.folder}; {found.told()}{f', in {found.kept}' if found.improved else ''}",
        file=sys.stderr,
    )
    return SystemExit(INTERRUPTED)
