"""What a policy is worth on a suite: its scores, intervals over worlds, and the table.

The score of a world is where its accuracy lies between the floor of its task and the ceiling, in per cent. A task's
score is the mean over its worlds, and 0 where that is below: what is worse than learning alone is worth nothing,
however much worse. Who cannot act in a task's worlds has 0 there. Intervals are those of a stratified bootstrap, which
draws worlds of each task by itself, and performance profiles the share of worlds above each score, the mean over tasks
(Agarwal et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...scenarios.suites import Suite, Task
from ..terminal import output
from .figures import figure, spread
from .stats import FEW, Bootstrapped, Interval, above_each, bootstrap, interval

if TYPE_CHECKING:
    from rich.console import Group

_THRESHOLDS = np.linspace(0, 100, 21)
_WORST = 0.1  # share of the worlds that "worst decile" is the mean of


@dataclass(frozen=True)
class TaskScore:
    """What a policy is worth on a task.

    Args:
        task: Of the suite.
        accuracy: Of the honest on the test split, over worlds; None where the policy cannot act in them.
        brier: Their 1 − ½·Brier, likewise.
        score: The mean over worlds, 0 at least.
        worst: That of the tenth of worlds that is worst, one at least.
        refused: Why the policy cannot act there; empty where it can.
    """

    task: Task
    accuracy: Interval | None
    brier: Interval | None
    score: float
    worst: float
    refused: str


@dataclass(frozen=True)
class Evaluation:
    """A policy's entry for a suite, and what it shows; it prints as a table.

    Args:
        suite: The suite.
        entry: What was measured and how, as its file holds it.
        tasks: What each measured task shows.
        mean: Of the tasks' scores.
        held_out: Of those that nothing was trained on; None where none was measured.
        worst_task: The lowest score of a task.
        worst_worlds: The mean score of the tenth of all worlds that is worst, 0 at least.
        thresholds: Scores of the performance profile.
        profile: Share of worlds above each of them, mean over tasks.
    """

    suite: Suite
    entry: Mapping[str, Any]
    tasks: list[TaskScore]
    mean: Bootstrapped
    held_out: Bootstrapped | None
    worst_task: Bootstrapped
    worst_worlds: Bootstrapped
    thresholds: list[float]
    profile: list[float]

    @classmethod
    def of(cls, suite: Suite, entry: Mapping[str, Any]) -> Evaluation:
        """What an entry shows.

        Args:
            suite: Whose it is.
            entry: With one measured task or more.
        """
        scales, found = suite.scales, entry["tasks"]
        measured = [task for task in suite.tasks if task.name in found]
        samples = [_scores(found[task.name], scales[task.name], len(entry["seeds"])) for task in measured]
        apart = [own for task, own in zip(measured, samples, strict=True) if task.held_out]
        return cls(
            suite=suite,
            entry=entry,
            tasks=[_shown(task, found[task.name], own) for task, own in zip(measured, samples, strict=True)],
            mean=bootstrap(_mean, *samples, paired=False),
            held_out=bootstrap(_mean, *apart, paired=False) if apart else None,
            worst_task=bootstrap(_least, *samples, paired=False),
            worst_worlds=bootstrap(_worst, *samples, paired=False),
            thresholds=_THRESHOLDS.tolist(),
            profile=np.mean([above_each(own, _THRESHOLDS) for own in samples], axis=0).tolist(),
        )

    @property
    def complete(self) -> bool:
        """Whether every task was measured, on as many worlds as an entry has."""
        return len(self.tasks) == len(self.suite.tasks) and len(self.entry["seeds"]) >= self.suite.worlds

    def __repr__(self) -> str:
        """Whose it is, and its mean score."""
        return f"<Evaluation of {self.entry['policy']} on {self.suite.name}: {self.mean.value:.1f}>"

    def __str__(self) -> str:
        """The table."""
        return output.as_text(table(self))

    def _repr_html_(self) -> str:
        return output.as_html(table(self))

    def as_json(self) -> dict[str, Any]:
        """The entry, and what it shows, as plain JSON types."""
        return {**self.entry, "scores": self.scores()}

    def scores(self) -> dict[str, Any]:
        """What the entry shows, as plain JSON types."""
        named = {name: getattr(self, name) for name in ("mean", "held_out", "worst_task", "worst_worlds")}
        scales = self.suite.scales
        return {
            **{name: value and value._asdict() for name, value in named.items()},
            "scales": {
                of.task.name: [scales[of.task.name].floor, scales[of.task.name].ceiling] for of in self.tasks
            },
            "tasks": {of.task.name: {"score": of.score, "worst": of.worst} for of in self.tasks},
            "thresholds": self.thresholds,
            "profile": self.profile,
        }


def _scores(found: Mapping[str, Any], scale: Any, worlds: int) -> np.ndarray:
    """The score of each world; 0 where there is none, as of who is not finite or cannot act there."""
    if "refused" in found:
        return np.zeros(worlds)
    return np.nan_to_num(scale.score(np.array(found["accuracy"], dtype=float)))


def _shown(task: Task, found: Mapping[str, Any], scores: np.ndarray) -> TaskScore:
    refused = found.get("refused", "")
    accuracy, brier = (
        None if refused else interval([np.nan if v is None else v for v in found[name]])
        for name in ("accuracy", "score")
    )
    return TaskScore(task, accuracy, brier, float(_mean(scores)), float(_worst(scores)), refused)


# ---- statistics: of scores [..., worlds] of each task, along an axis -------------------------------------------


def _mean(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean of the tasks' scores."""
    return np.mean([own.mean(axis).clip(0) for own in samples], axis=0)


def _least(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """The lowest score of a task."""
    return np.min([own.mean(axis).clip(0) for own in samples], axis=0)


def _worst(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean score of the tenth of worlds that is worst, of all tasks together."""
    together = np.sort(np.concatenate(samples, axis=axis), axis=axis)
    count = max(1, round(_WORST * together.shape[axis]))
    return together.take(range(count), axis=axis).mean(axis).clip(0)


# ---- table ----------------------------------------------------------------------------------------------------


def table(found: Evaluation) -> Group:
    """Tasks as rows, then what all of them show, and a legend."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    count, scales = len(found.entry["seeds"]), found.suite.scales
    shown = Table(box=SIMPLE_HEAD)
    shown.add_column("task", no_wrap=True)
    for title in ("accuracy, %", "1 − ½·Brier, %", "floor–ceiling", "score", "worst tenth"):
        shown.add_column(title, justify="right")
    for of in found.tasks:
        scale, mark = scales[of.task.name], " *" if of.task.held_out else ""
        shown.add_row(
            of.task.name + mark,
            spread(of.accuracy),
            spread(of.brier),
            f"{100 * scale.floor:.1f}–{100 * scale.ceiling:.1f}",
            "–" if of.refused else figure(of.score, 1),
            "–" if of.refused else figure(of.worst, 1),
        )
    lines = [f"{name}: {_between(value)}" for name, value in overall(found).items() if value is not None]
    few = f"; too narrow below {FEW} worlds" if count < FEW else ""
    legend = [
        "score: 0 learns alone, 100 is the best that was known when the suite was frozen; below 0 counts as 0",
        "±: 95 % interval over worlds, by Student's t; [low, high]: stratified bootstrap over worlds" + few,
        "worst tenth: the mean score of the worst tenth of worlds",
    ]
    if found.held_out is not None:
        legend.append("*: held out, nothing may be trained on it")
    refused = {of.refused: of.task.name for of in found.tasks if of.refused}
    legend += [f"–: cannot act there ({name}: {why}), which counts as 0" for why, name in refused.items()]
    if any(scales[of.task.name].provisional for of in found.tasks):
        legend.append(f"floors and ceilings of {found.suite.name} are provisional: scores will change")
    worlds = f"{count} world{'s' if count > 1 else ''} a task"
    return Group(
        Text(f"{found.entry['policy']} · {found.suite.name} · {worlds}"),
        shown,
        *map(Text, lines),
        *(Text(line, style="dim") for line in legend),
    )


def overall(found: Evaluation) -> dict[str, Bootstrapped | None]:
    """What all tasks show, by how it is called."""
    return {
        "mean over tasks": found.mean,
        "mean over held-out tasks": found.held_out,
        "worst task": found.worst_task,
        "worst tenth of all worlds": found.worst_worlds,
    }


def _between(found: Bootstrapped) -> str:
    """``"91.9 [90.1, 92.4]"``."""
    value, low, high = (figure(number, 1) for number in found)
    return value if np.isnan(found.low) else f"{value} [{low}, {high}]"
