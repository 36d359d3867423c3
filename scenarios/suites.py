"""Suites: frozen lists of tasks that a policy is evaluated on, and the scale on which each is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..envs.errors import ConfigError, one_of
from ..envs.registration import add_to_registry

FROZEN = Path(__file__).parent / "frozen"
"""Folder of the scales of suites, a JSON each, which the command that froze them wrote."""


@dataclass(frozen=True)
class Scale:
    """Between which accuracies a task is scored.

    Args:
        floor: What the suite's floor policy reaches: score 0.
        ceiling: What the best actor known reached when the suite was frozen: score 100.
        by: Who that was.
        worlds: How many worlds both were measured on.
        provisional: Whether they are to be measured again, on all worlds of the suite, before the suite is final.
    """

    floor: float
    ceiling: float
    by: str
    worlds: int
    provisional: bool

    def score(self, accuracy: Any) -> Any:
        """Where accuracies lie between floor and ceiling, in per cent; below 0 and above 100 where they do."""
        return 100 * (accuracy - self.floor) / (self.ceiling - self.floor)


@dataclass(frozen=True)
class Task:
    """A world to act in, to its end.

    Args:
        name: Of the task, within its suite.
        summary: One line.
        env: Id of the world.
        env_kwargs: Arguments of the world; its ``horizon`` is an episode's length.
        held_out: Whether nothing may be trained on it.
        quick: Whether a quick evaluation measures it.
    """

    name: str
    summary: str
    env: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    held_out: bool = False
    quick: bool = False


@dataclass(frozen=True)
class Suite:
    """Tasks that never change: another list, another seed or another scale is another version, of another name.

    A policy's figure on a task is the accuracy of the honest on the test split at the end of the episode, in worlds
    of the evaluation domain.

    Args:
        name: With its version, e.g. ``"listen-v1"``.
        summary: One line.
        tasks: What is measured, in the order of tables.
        seeds: Of the worlds of every task, of the evaluation domain; an evaluation takes the first so many.
        worlds: How many it takes.
        quick_worlds: How many a quick one takes, of its tasks.
        floor: Policy whose score is 0.
    """

    name: str
    summary: str
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    worlds: int
    quick_worlds: int
    floor: str

    @property
    def digest(self) -> str:
        """Of what is measured: tasks and seeds. Figures of one digest can be compared."""
        told = {"tasks": [asdict(task) for task in self.tasks], "seeds": self.seeds}
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def scales(self) -> dict[str, Scale]:
        """The scale of each task, by name.

        Raises:
            ConfigError: They were not frozen yet, or are of other tasks.
        """
        path = FROZEN / f"{self.name}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        missing = [task.name for task in self.tasks if task.name not in found]
        if missing:
            raise ConfigError(
                f"{self.name} has no scale for {', '.join(missing)}: freeze it, or take another suite"
            )
        return {task.name: Scale(**found[task.name]) for task in self.tasks}

    def chosen(self, names: tuple[str, ...] | None = None) -> tuple[Task, ...]:
        """The tasks of these names; all where none are given.

        Raises:
            UnknownName: There is no such task; lists the near ones.
        """
        by_name = {task.name: task for task in self.tasks}
        return self.tasks if names is None else tuple(by_name[one_of("task", n, by_name)] for n in names)

    @property
    def to_train_on(self) -> tuple[Task, ...]:
        """The tasks that are not held out."""
        return tuple(task for task in self.tasks if not task.held_out)


registry: dict[str, Suite] = {}
"""All suites by name."""


def register_suite(suite: Suite) -> None:
    """Add a suite.

    Raises:
        ConfigError: Its name stands for another one (to register the same again does nothing).
    """
    refusal = f"suite {suite.name!r} is registered already: choose another name"
    add_to_registry(registry, suite.name, suite, refusal)


def get_suite(name: str) -> Suite:
    """A suite by name.

    Raises:
        UnknownName: Lists the near ones.
        ConfigError: The name is no text.
    """
    return registry[one_of("suite", name, registry)]
