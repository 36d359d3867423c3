"""The leaderboard of listen-v1: who listens best, over all tasks and on each."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from studyhall.rollouts import interval, spread
from studyhall.rollouts.reports.figures import figure
from studyhall.scenarios.suites import Suite, get_suite

from .cells import markdown

SUITE = get_suite("listen-v1")
ANYONE = "listen-anyone"
"""Begins the names of entries of its trainings."""
Entries = Mapping[str, Mapping[str, Any]]


class Leaderboard(NamedTuple):
    """A section made of the entries in a folder, an entry a file.

    Args:
        folder: Of the files.
        render: Markdown of the entries by name, the best first.
        command: What measures them.
    """

    folder: Path
    render: Callable[[Entries], str]
    command: str

    def text(self) -> str:
        """The table, or how to measure it."""
        found = {
            path.stem: json.loads(path.read_text(encoding="utf-8")) for path in self.folder.glob("*.json")
        }
        if not found:
            return f"Not measured yet: `{self.command}`."
        current = {name: [scale.floor, scale.ceiling] for name, scale in SUITE.scales.items()}
        for name, entry in found.items():
            scales = entry.get("scores", {}).get("scales", {"nothing": None})
            if entry["digest"] != SUITE.digest or any(current.get(task) != scales[task] for task in scales):
                raise SystemExit(
                    f"{name}.json is not finished, or not of {SUITE.name} as it is now: {self.command}"
                )
        ranked = sorted(found.items(), key=lambda item: (not _complete(item[1]), -_mean(item[1])))
        return self.render(dict(ranked))


def ranking(entries: Entries) -> str:
    """Who is worth how much over all tasks; entries on some tasks or few worlds stand last."""
    header = (
        "policy",
        "mean",
        "held out",
        "worst task",
        "worst tenth of worlds",
        "worlds above 90",
        "worlds measured",
    )
    rows = []
    for name, entry in entries.items():
        scores = entry["scores"]
        worst = min(scores["tasks"], key=lambda task: scores["tasks"][task]["score"])
        above = dict(zip(scores["thresholds"], scores["profile"], strict=True))[90.0]
        rows.append(
            (
                f"`{name}`",
                _between(scores["mean"]),
                _between(scores["held_out"]),
                f"{_between(scores['worst_task'])} ({worst})",
                _between(scores["worst_worlds"]),
                f"{100 * above:.0f} %",
                f"{len(entry['tasks'])} tasks × {len(entry['seeds'])} worlds"
                + ("" if _complete(entry) else ", a look"),
            )
        )
    return markdown(header, rows) + _provisional()


def best(entries: Entries) -> str:
    """Who is best on each task, those left out who know the liars."""
    header = ("task", "on what", "floor", "ceiling", "best policy", "accuracy", "second policy", "accuracy")
    rows = []
    for task in SUITE.tasks:
        scale = SUITE.scales[task.name]
        means = {
            name: value
            for name, entry in entries.items()
            if not name.startswith("oracle") and (value := _of(entry, task.name, "accuracy")) is not None
        }
        first = sorted(means, key=lambda name: -means[name])[:2]
        told = [cell for name in first for cell in (f"`{name}`", figure(100 * means[name], 1))]
        known = (figure(100 * scale.floor, 1), figure(100 * scale.ceiling, 1))
        mark = " *" if task.held_out else ""
        rows.append((task.name + mark, task.summary, *known, *told, *["–"] * (4 - len(told))))
    return markdown(header, rows)


def against_best(entries: Entries) -> str:
    """Trainings of one listener beside the rule that is best on each task, world by world."""
    trained = [entry for name, entry in entries.items() if name.startswith(ANYONE)]
    rules = {
        name: entry
        for name, entry in entries.items()
        if entry["policy_digest"] is None and not name.startswith("oracle")
    }
    if not trained:
        return f"No training of `{ANYONE}` was measured yet."
    header = (
        "task",
        "on what",
        "best rule",
        "accuracy",
        ANYONE,
        "each training",
        f"{ANYONE} − it",
        "worst world",
    )
    rows = []
    for task in SUITE.tasks:
        means = {
            name: value for name in rules if (value := _of(rules[name], task.name, "accuracy")) is not None
        }
        each = [entry["tasks"].get(task.name, {}).get("accuracy") for entry in trained]
        mark = task.name + (" *" if task.held_out else "")
        if not means or None in each:
            rows.append((mark, task.summary, *["–"] * (len(header) - 2)))
            continue
        best = max(means, key=lambda name: means[name])
        rule, *found = _as_long(rules[best]["tasks"][task.name]["accuracy"], *each)
        own = np.mean(found, axis=0)
        told = "…".join(figure(100 * at(np.mean(found, axis=1)), 1) for at in (np.min, np.max))
        values = [spread(interval(x), digits=1) for x in (rule, own)]
        ahead = spread(interval(own - rule), signed=True, digits=1)
        rows.append((mark, task.summary, f"`{best}`", *values, told, ahead, figure(100 * np.min(found), 1)))
    title = (
        f"Test accuracy of the honest in per cent, {len(trained)} trainings; `{ANYONE}` is their mean, world by world, "
        "and the difference is paired. ± is a 95 % interval over worlds; the worst world is that of all trainings."
    )
    return f"{title}\n\n{markdown(header, rows)}"


def _as_long(*values: Sequence[float]) -> np.ndarray:
    """As many worlds of each as the one that has fewest, ``[K, W]``."""
    return np.array([list(own)[: min(map(len, values))] for own in values], dtype=float)


def parts(found: dict) -> str:
    """Trainings without a part of the network, and what the part buys, paired by training."""
    (whole, *_), tasks = found.values(), next(iter(found.values()))[0]["tasks"]
    header = ("variant", *tasks, "mean over these")
    rows, lost = [], []
    for variant, runs in found.items():
        by_task = np.array([[np.mean(run["tasks"][task]["accuracy"]) for task in tasks] for run in runs])
        of_whole = np.array([[np.mean(run["tasks"][task]["accuracy"]) for task in tasks] for run in whole])
        rows.append((variant, *_over_trainings(by_task)))
        if runs is not whole:
            shared = min(len(by_task), len(of_whole))
            lost.append((variant, *_over_trainings(by_task[:shared] - of_whole[:shared], signed=True)))
    title = (
        f"Test accuracy of the honest in per cent, {len(whole)} trainings by imitation alone, "
        f"{len(whole[0]['worlds'])} worlds a task; ± is a 95 % interval over trainings."
    )
    against = "Points against the whole network, paired by the seed of training:"
    return "\n\n".join((title, markdown(header, rows), against, markdown(header, lost)))


def _over_trainings(values: np.ndarray, signed: bool = False) -> list[str]:
    """A cell for each column of ``[K, T]``, and one for their mean."""
    columns = [*values.T, values.mean(1)]
    return [spread(interval(column), signed=signed, digits=1) for column in columns]


def accuracies(entries: Entries) -> str:
    """Test accuracy of the honest by policy and task, per cent."""
    return _by_task(entries, "accuracy")


def brier(entries: Entries) -> str:
    """1 − ½·Brier of the honest by policy and task, per cent."""
    return _by_task(entries, "score")


def _by_task(entries: Entries, what: str) -> str:
    header = ("policy", *(task.name for task in SUITE.tasks))
    rows = [
        (f"`{name}`", *(_cell(_of(entry, task.name, what)) for task in SUITE.tasks))
        for name, entry in entries.items()
    ]
    return markdown(header, rows)


def _of(entry: Mapping[str, Any], task: str, what: str) -> float | None:
    """The mean over worlds that have one; None where the task was not measured, or the policy cannot act there."""
    values = [v for v in entry["tasks"].get(task, {}).get(what, []) if v is not None]
    return sum(values) / len(values) if values else None


def _cell(value: float | None) -> str:
    return "–" if value is None else figure(100 * value, 1)


def _mean(entry: Mapping[str, Any]) -> float:
    return entry["scores"]["mean"]["value"]


def _complete(entry: Mapping[str, Any], suite: Suite = SUITE) -> bool:
    return len(entry["tasks"]) == len(suite.tasks) and len(entry["seeds"]) >= suite.worlds


def _between(found: Mapping[str, float | None] | None) -> str:
    if found is None:
        return "–"
    value, *limits = (None if number is None else figure(number, 1) for number in found.values())
    return f"{value} [{', '.join(map(str, limits))}]" if all(limits) else str(value)


def _provisional() -> str:
    found = [name for name, scale in SUITE.scales.items() if scale.provisional]
    if not found:
        return ""
    which = "all tasks" if len(found) == len(SUITE.tasks) else ", ".join(found)
    return (
        f"\n\nFloors and ceilings of {which} are **provisional** (a pilot's, on 4 to 12 worlds): scores will "
        "change, accuracies will not. `python benchmarks/listen.py freeze` measures them on 100 worlds."
    )
