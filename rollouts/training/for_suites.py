"""Training one listener for all tasks of a suite: it imitates a teacher of each, then learns from reward."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...envs.archive import save
from ...envs.errors import unknown
from ...envs.hosted.sources import FEATURES
from ...policies.listening.learned import FORMAT
from ...policies.listening.tournament import Tournament
from ...scenarios.suites import Suite
from ..settings import parse_assignments
from ..settings.parse import Assignments
from ..storage.folders import new_folder
from ..terminal.progress import ProgressBar
from .imitation import POOLED, ImitationConfig, imitate, teacher_of
from .reinforcement import ReinforcementConfig, reinforce

_STAGES = {"imitation": ImitationConfig, "reinforcement": ReinforcementConfig}


@dataclass(frozen=True)
class SuiteConfig:
    """What is trained: both stages, of one suite.

    Args:
        imitation: The first.
        reinforcement: The second.
    """

    imitation: ImitationConfig
    reinforcement: ReinforcementConfig


@dataclass(frozen=True)
class Listener:
    """What a training left.

    Args:
        best: File of the policy.
        clone: That of the policy after imitation alone.
        seconds: It took.
    """

    best: Path
    clone: Path
    seconds: float


def configure(suite: Suite, assignments: Assignments = (), seed: int = 0) -> SuiteConfig:
    """What ``studyhall train --suite`` says.

    Args:
        suite: The suite.
        assignments: ``imitation.KEY=VALUE`` and ``reinforcement.KEY=VALUE``.
        seed: Of both stages.

    Raises:
        UnknownName: No such setting; lists the near ones.
        ConfigError: A value that cannot be.
    """
    known = {
        f"{stage}.{field.name}": (stage, field.name)
        for stage, config in _STAGES.items()
        for field in fields(config)
        if field.name not in ("suite", "seed")
    }
    given: dict[str, dict[str, Any]] = {stage: {"suite": suite, "seed": seed} for stage in _STAGES}
    for name, value in parse_assignments(assignments).items():
        if name not in known:
            raise unknown("setting", name, known)
        stage, key = known[name]
        given[stage][key] = value
    return SuiteConfig(ImitationConfig(**given["imitation"]), ReinforcementConfig(**given["reinforcement"]))


def train(config: SuiteConfig, out: Path | None, command: str) -> Listener:
    """Train a listener, and write ``clone.zip`` and ``best.zip`` of a folder.

    Args:
        config: What to train.
        out: The folder, new or empty; None takes a free one.
        command: What repeats it, for the files.

    Raises:
        ConfigError: The folder cannot be used, or a task's data are not there.
    """
    begun, suite = time.perf_counter(), config.imitation.suite
    first, second = config.imitation, config.reinforcement
    steps = first.gatherings * (len(suite.to_train_on) + first.updates // 100) + second.updates
    with new_folder(out, f"{suite.name}-listener") as folder, ProgressBar(suite.name, steps) as bar:
        done = 0

        def show(words: str) -> None:
            nonlocal done
            done += 1
            bar.show(done, words)

        def kept(network: Tournament, name: str) -> Path:
            weights = {f"scorer.{key}": value for key, value in network.state_dict().items()}
            save(folder / name, about(config, command), weights)
            return folder / name

        cloned = imitate(first, show)
        clone = kept(cloned, "clone.zip")
        best = kept(reinforce(second, cloned, show), "best.zip")
    return Listener(best, clone, time.perf_counter() - begun)


def about(config: SuiteConfig, command: str) -> Mapping[str, Any]:
    """What a file says of itself."""
    tasks = config.imitation.suite.to_train_on
    settings = {
        stage: {f.name: getattr(getattr(config, stage), f.name) for f in fields(kind) if f.name != "suite"}
        for stage, kind in _STAGES.items()
    }
    return {
        "format": FORMAT,
        "env": tasks[0].env,
        "env_kwargs": dict(tasks[0].env_kwargs),
        "world_kwargs": {"actions": "gated"},
        "actions": [*POOLED, "listen"],
        "source_features": list(FEATURES),
        "algorithm": "imitation, then PPO",
        "suite": config.imitation.suite.name,
        "teachers": {task.name: teacher_of(task) for task in tasks},
        "settings": settings,
        "command": command,
    }
