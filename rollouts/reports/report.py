"""What a run found: one value per seed for every mode and metric, and curves over time."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...envs.archive import name_of
from ...envs.errors import one_of, unknown
from ...envs.validation import LAST_SEED, MOST
from ...scenarios import Scenario
from ..metrics.names import EXAM
from .stats import Interval, interval
from .trace import Trace

GAINS = ("mean", "soft_vote", "honest")
"""Metrics of a class whose social gain is reported; of any other world that of its headline is."""

PAIRS = (("masc", "student"), ("masc", "grown"))
"""Parts of a policy whose averages are held against each other, where both are measured."""


@dataclass
class Report:
    """What a run found.

    Attributes:
        scenario: What was run, overrides included.
        seeds: World seeds, one column each below.
        metrics: Mode ("open" or a control) to metric to one value per seed; ``…@1000`` is from step 1000.
        students: Mode to test accuracy of every student, ``[seeds][N]``.
        curves: Mode to the headline over time, ``[points][seeds][N]``; ``steps`` are their abscissae.
        steps: See ``curves``.
        budget_spent_at: First point of the curves at which no open world had any teacher's budget left.
        seconds: Wall time of the simulation.
        device: Where it ran.
        transductive: Whether the policy learnt from exam inputs; see :class:`~studyhall.policies.Policy`.
        headline: The metric that the curves show; see :class:`~studyhall.envs.World`. How the other metrics read
            follows from it: see ``metrics/names.py``.
        noun: What an agent of the world is called.
        diverged: Mode to seed to agent to the first step at which it was seen that what it knows or does is not finite
            any more; looked for where curves have a point. Of its world there are costs, but no other figures: NaN.
        decisions: Mode to seed to what the policy says that it decided, and why: ``step``, ``agent``, ``what``, ``why``
            (:meth:`~studyhall.policies.Policy.decisions`).
        trace: What happened on the way; None where nothing was kept of it. A folder has it in a file of its own.
    """

    scenario: Scenario
    seeds: tuple[int, ...]
    metrics: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    students: dict[str, list[list[float]]] = field(default_factory=dict)
    curves: dict[str, list[list[list[float]]]] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)
    budget_spent_at: int | None = None
    seconds: float = 0.0
    device: str = "cpu"
    transductive: bool = False
    headline: str = EXAM
    noun: str = "student"
    diverged: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    decisions: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    trace: Trace | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        """What was run, without what was found."""
        steps = self.steps[-1] if self.steps else 0
        name, seeds = self.scenario.name, list(self.seeds)
        return f"<{type(self).__name__} of {name}: {steps:,} steps, seeds {seeds}, {', '.join(self.modes)}>"

    @property
    def gains(self) -> tuple[str, ...]:
        """Metrics whose social gain is reported, of those that were measured."""
        asked = GAINS if self.headline == EXAM else (self.headline,)
        return tuple(metric for metric in asked if metric in self.metrics.get("open", {}))

    @property
    def modes(self) -> list[str]:
        """The modes that ran side by side: open first, then the controls."""
        return ["open", *self.scenario.controls]

    def interval(self, mode: str, metric: str) -> Interval | None:
        """Mean and 95 % interval over seeds; None where the metric was measured in other modes only.

        Raises:
            UnknownName: No such mode ran, or the metric was measured in none; lists the near ones.
        """
        one_of("mode", mode, self.modes)
        known = dict.fromkeys(name for found in self.metrics.values() for name in found)
        if metric not in known:
            raise unknown("metric", str(metric), known)
        values = self.metrics[mode].get(metric)
        return interval(values) if values else None

    def social_gain(self, metric: str = "mean") -> dict[str, list[float]]:
        """Control to open − control, seed by seed.

        Of a metric whose lower values are better, a gain is below zero.

        Raises:
            UnknownName: The metric was not measured; lists the near ones.
        """
        found = self.metrics.get("open", {})
        if metric not in found:
            raise unknown("metric", str(metric), found)
        own = found[metric]
        return {
            mode: [a - b for a, b in zip(own, self.metrics[mode][metric], strict=True)]
            for mode in self.scenario.controls
        }

    @property
    def parts(self) -> list[str]:
        """Parts of the policy of which it was measured what experts are worth."""
        ends = "_average"
        return [name.removesuffix(ends) for name in self.metrics.get("open", {}) if name.endswith(ends)]

    def differences(self, mode: str = "open") -> dict[tuple[str, str], list[float]]:
        """Of :data:`PAIRS`, by how much the first one's average is above the second's in a mode, seed by seed."""
        found = self.metrics.get(mode, {})
        averages = {part: found[f"{part}_average"] for part in self.parts if f"{part}_average" in found}
        return {
            pair: [a - b for a, b in zip(*(averages[part] for part in pair), strict=True)]
            for pair in PAIRS
            if averages.keys() >= set(pair)
        }

    def columns(self) -> dict[str, list[Any]]:
        """The headline in long form, by column: step, mode, seed, agent, its value."""
        rows = [
            (step, mode, seed, agent, value)
            for mode, points in self.curves.items()
            for step, seeds in zip(self.steps, points, strict=True)
            for seed, agents in zip(self.seeds, seeds, strict=True)
            for agent, value in enumerate(agents)
        ]
        names = ("step", "mode", "seed", "agent", self.headline)
        return {name: [row[i] for row in rows] for i, name in enumerate(names)}

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types; data given as arrays are named, not written out."""
        return {
            "scenario": _plain(dataclasses.asdict(self.scenario)),
            "seeds": list(self.seeds),
            "metrics": self.metrics,
            "students": self.students,
            "summary": {
                mode: {metric: interval(values)._asdict() for metric, values in metrics.items()}
                for mode, metrics in self.metrics.items()
            },
            "social_gain": {
                metric: {
                    mode: {"values": values, **interval(values)._asdict()}
                    for mode, values in self.social_gain(metric).items()
                }
                for metric in self.gains
            },
            **self._differences(),
            "curve": {"steps": self.steps, self.headline: self.curves},
            "budget_spent_at": self.budget_spent_at,
            "seconds": self.seconds,
            "device": self.device,
            "transductive": self.transductive,
            "noun": self.noun,
            "diverged": self.diverged,
            **({"decisions": self.decisions} if self.decisions else {}),
        }

    def _differences(self) -> dict[str, Any]:
        """Those of all modes for :meth:`as_json`; nothing where there are no such parts."""
        found: dict[str, Any] = {}
        for mode in self.modes:
            for (one, other), values in self.differences(mode).items():
                of_pair = found.setdefault(f"{one}_average − {other}_average", {})
                of_pair[mode] = {"values": values, **interval(values)._asdict()}
        return {"differences": found} if found else {}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Report:
        """The report that :meth:`as_json` wrote, where null stands for NaN."""
        (headline,) = found["curve"].keys() - {"steps"}
        return cls(
            scenario=Scenario.from_json(found["scenario"]),
            seeds=tuple(found["seeds"]),
            metrics=numbers(found["metrics"]),
            students=numbers(found["students"]),
            curves=numbers(found["curve"][headline]),
            steps=found["curve"]["steps"],
            budget_spent_at=found["budget_spent_at"],
            seconds=found["seconds"],
            device=found.get("device", "cpu"),
            transductive=found.get("transductive", False),
            headline=headline,
            noun=found.get("noun", "student"),
            diverged=found.get("diverged", {}),
            decisions=found.get("decisions", {}),
        )


def numbers(value: Any) -> Any:
    """What was read from JSON, with NaN where it has null."""
    if isinstance(value, dict):
        return {name: numbers(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [numbers(entry) for entry in value]
    return math.nan if value is None else value


def _plain(value: Any) -> Any:
    """A value as JSON has it; what JSON lacks is replaced by its name."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, (str, int, float)) else name_of(value)


def is_measured(report: Report) -> bool:
    """Whether the figures of a report are built as a run records them, for its modes and seeds."""
    modes, seeds = report.modes, len(report.seeds)
    steps = report.steps
    return (
        all(type(seed) is int and 0 <= seed <= LAST_SEED for seed in report.seeds)
        and _mapping(report.metrics, modes)
        and all(
            _mapping(found) and all(are_numbers(v, seeds) for v in found.values())
            for found in report.metrics.values()
        )
        and _mapping(report.students, modes)
        and all(are_numbers(rows, seeds, 1) for rows in report.students.values())
        and isinstance(steps, list)
        and all(type(step) is int and 0 < step <= MOST for step in steps)
        and _mapping(report.curves, modes)
        and all(are_numbers(points, len(steps), 2) for points in report.curves.values())
        and all(len(point) == seeds for points in report.curves.values() for point in points)
        and _even(agents for points in report.curves.values() for point in points for agents in point)
        and _even(agents for rows in report.students.values() for agents in rows)
        and type(report.budget_spent_at) in (int, type(None))
        and _is_number(report.seconds)
        and 0 <= report.seconds < math.inf
        and isinstance(report.device, str)
        and type(report.transductive) is bool
        and isinstance(report.headline, str)
        and isinstance(report.noun, str)
        and _mapping(report.diverged, modes)
        and all(
            _mapping(worlds)
            and all(
                _mapping(agents) and all(type(step) is int for step in agents.values())
                for agents in worlds.values()
            )
            for worlds in report.diverged.values()
        )
        and _mapping(report.decisions, modes)
        and all(
            _mapping(worlds) and all(_are_decisions(told) for told in worlds.values())
            for worlds in report.decisions.values()
        )
    )


def has_ended(report: Report) -> bool:
    """Whether figures built as :func:`is_measured` has it are all there that a run leaves in the end."""
    modes = set(report.modes)
    metrics = report.metrics.get("open", {})
    return (
        report.metrics.keys() == report.curves.keys() == modes
        and bool(metrics and report.steps)
        and all(found.keys() == metrics.keys() for found in report.metrics.values())
        and report.students.keys() in (set(), modes)
    )


def _even(rows: Iterable[Sequence[float]]) -> bool:
    """Whether all have as many numbers."""
    return len({len(row) for row in rows}) <= 1


def _mapping(found: Any, names: Sequence[str] | None = None) -> bool:
    return isinstance(found, dict) and all(
        isinstance(name, str) and (names is None or name in names) for name in found
    )


def are_numbers(found: Any, count: int | None, depth: int = 0) -> bool:
    """Whether something is a list, of lists to a depth, of numbers; ``count``: entries of the outermost."""
    if not isinstance(found, list) or count not in (None, len(found)):
        return False
    if depth:
        return all(are_numbers(entry, None, depth - 1) for entry in found)
    return all(value is None or _is_number(value) for value in found)


def _is_number(value: Any) -> bool:
    """Whether something is a number that a float can be; whole numbers of JSON may be beyond it."""
    return type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)


def _are_decisions(told: Any) -> bool:
    texts = ("agent", "what", "why")
    return isinstance(told, list) and all(
        _mapping(one) and type(one.get("step")) is int and all(isinstance(one.get(n), str) for n in texts)
        for one in told
    )
