"""Runs of the same world and seeds beside each other, seed by seed.

What is computed are the statistics of Agarwal et al. (2021), "Deep reinforcement learning at the edge of the
statistical precipice", over the seeds of one world, by `scipy.stats`:

* the **interquartile mean**, the mean without the lowest and the highest quarter of seeds;
* the **probability of improvement** on the first run, that a seed of this run is above one of the first, of all pairs
  of seeds, where equal ones count half (the Mann–Whitney U statistic over the number of pairs);
* the **performance profile**, the share of seeds above each threshold;

each but the profile with a 95 % percentile bootstrap interval, which draws seeds with replacement, the same ones in
both runs. Such an interval is too narrow where there are few seeds. The difference from the first run is paired by
seed, and its interval is Student's, as everywhere else here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...envs.errors import ConfigError, one_of
from ...envs.files import as_path
from ..metrics.names import EXAM, human, is_fraction
from ..storage.text import plain
from ..terminal import output
from .cells import style
from .figures import figure, limits, spread
from .stats import FEW, Bootstrapped, Interval, above_each, bootstrap, interval, verdict

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from rich.console import Group

    from .report import Report

_THRESHOLDS = 101


@dataclass(frozen=True)
class Compared:
    """One run of a comparison.

    Args:
        name: What it is called.
        settings: What it does not share with all the others.
        values: One a seed.
        mean: Of the values, with Student's interval.
        iqm: Their interquartile mean.
        difference: From the first run, seed by seed; None for the first.
        improvement: Probability that a seed is better than one of the first run; None for the first.
        profile: Share of seeds above each of the comparison's thresholds.
    """

    name: str
    settings: dict[str, Any]
    values: list[float]
    mean: Interval
    iqm: Bootstrapped
    difference: Interval | None
    improvement: Bootstrapped | None
    profile: list[float]


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other; it prints as a table, and notebooks show it.

    Args:
        metric: What is compared.
        mode: Of the channel: "open", or a control.
        lower: Whether a lower value is the better one.
        headline: Of the world.
        seeds: Those that have a value in every run.
        left_out: Those that lack one in some.
        thresholds: Of the performance profiles.
        runs: What was found; the first is what the others are held against.
    """

    metric: str
    mode: str
    lower: bool
    headline: str
    seeds: list[int]
    left_out: list[int]
    thresholds: list[float]
    runs: list[Compared]

    def __repr__(self) -> str:
        """What is compared."""
        return f"<Comparison of {self.metric} in {len(self.seeds)} seeds: {', '.join(run.name for run in self.runs)}>"

    def __str__(self) -> str:
        """The table."""
        return output.as_text(table(self))

    def _repr_html_(self) -> str:
        return output.as_html(table(self))

    def frame(self) -> pandas.DataFrame:
        """What was compared: a row a run and seed."""
        import pandas

        rows = [
            {"run": run.name, "seed": seed, self.metric: value}
            for run in self.runs
            for seed, value in zip(self.seeds, run.values, strict=True)
        ]
        return pandas.DataFrame(rows)

    def plot(self) -> Figure:
        """Interquartile means with their intervals, and performance profiles."""
        return draw(self)

    def save_plot(self, path: str | Path) -> None:
        """Write :meth:`plot` as PNG, whole or not at all.

        Raises:
            ConfigError: It cannot be written.
        """
        draw(self).write(as_path("path", path, ConfigError))

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        named = ("metric", "mode", "lower", "seeds", "left_out", "thresholds")
        return {name: getattr(self, name) for name in named} | {"runs": [_as_json(run) for run in self.runs]}


def compare(
    reports: Mapping[str, Report], *, metric: str | None = None, mode: str = "open", lower: bool = False
) -> Comparison:
    """Hold runs of the same world and seeds against the first of them.

    Args:
        reports: By name.
        metric: What is compared; None takes the mean test accuracy of a class, of any other world the headline.
        mode: Of the channel.
        lower: Whether a lower value is the better one.

    Raises:
        ConfigError: There are fewer than two runs, they are of different worlds or seeds, or no seed has a value in
            all.
        UnknownName: A run has no such metric or mode; lists the near ones.
    """
    if len(reports) < 2:
        raise ConfigError("a comparison is of two runs or more: name the folders of both")
    (first, of_first), *others = reports.items()
    for name, report in others:
        worlds = of_first.scenario.env, report.scenario.env
        if len(set(worlds)) > 1:
            raise ConfigError(f"{first} is of {worlds[0]}, {name} of {worlds[1]}: compare runs of one world")
        if set(report.seeds) != set(of_first.seeds):
            raise ConfigError(
                f"{first} has seeds {_told(of_first.seeds)}, {name} {_told(report.seeds)}: runs are paired by seed, "
                "so run both with the same"
            )
    if metric is None:
        metric = "mean" if of_first.headline == EXAM else of_first.headline
    values = {}
    for name, report in reports.items():
        found = report.metrics[one_of(f"mode of {name}", mode, report.metrics)]
        by_seed = dict(zip(report.seeds, found[one_of(f"metric of {name}", metric, found)], strict=True))
        values[name] = np.array([by_seed[seed] for seed in of_first.seeds], dtype=float)
    has = np.isfinite(np.stack([*values.values()])).all(0)
    if not has.any():
        raise ConfigError(f"no seed has a {metric} in every run: compare another metric, or other runs")
    kept = {name: found[has] for name, found in values.items()}
    base = kept[first]
    every = np.concatenate([*kept.values()])
    thresholds = np.linspace(every.min(), every.max(), _THRESHOLDS)
    different = _differing({name: _settings(report) for name, report in reports.items()})
    sign = -1 if lower else 1
    return Comparison(
        metric=metric,
        mode=mode,
        lower=lower,
        headline=of_first.headline,
        seeds=[seed for seed, there in zip(of_first.seeds, has, strict=True) if there],
        left_out=[seed for seed, there in zip(of_first.seeds, has, strict=True) if not there],
        thresholds=thresholds.tolist(),
        runs=[
            Compared(
                name=name,
                settings=different[name],
                values=own.tolist(),
                mean=interval(own.tolist()),
                iqm=bootstrap(_iqm, own),
                difference=None if name == first else interval((own - base).tolist()),
                improvement=None if name == first else bootstrap(_above, sign * own, sign * base),
                profile=above_each(own, thresholds),
            )
            for name, own in kept.items()
        ],
    )


# ---- statistics -----------------------------------------------------------------------------------------------


def _iqm(values: np.ndarray, axis: int = -1) -> Any:
    """The interquartile mean."""
    from scipy import stats

    return stats.trim_mean(values, 0.25, axis=axis)


def _above(own: np.ndarray, base: np.ndarray, axis: int = -1) -> Any:
    """The share of pairs in which one's own value is above; equal ones count half."""
    from scipy import stats

    pairs = own.shape[axis] * base.shape[axis]
    return stats.mannwhitneyu(own, base, axis=axis, method="asymptotic").statistic / pairs


# ---- what differs between runs --------------------------------------------------------------------------------


def _settings(report: Report) -> dict[str, Any]:
    """What was run, by the name that ``--set`` has for it."""
    scenario = report.scenario
    policy = {f"policy.{name}": value for name, value in scenario.policy_kwargs.items()}
    return plain({"scenario": scenario.name, "policy": scenario.policy, **policy, **scenario.env_kwargs})


def _differing(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each run what it does not share with all the others."""
    names = dict.fromkeys(name for own in settings.values() for name in own)
    differ = [n for n in names if len({repr(own.get(n, ...)) for own in settings.values()}) > 1]
    return {run: {n: own[n] for n in differ if n in own} for run, own in settings.items()}


def _told(seeds: tuple[int, ...]) -> str:
    some = ", ".join(map(str, seeds[:8]))
    return some + (", …" if len(seeds) > 8 else "")


def _as_json(run: Compared) -> dict[str, Any]:
    figures = {
        name: None if value is None else value._asdict()
        for name in ("mean", "iqm", "difference", "improvement")
        for value in [getattr(run, name)]
    }
    return {
        "name": run.name,
        "settings": run.settings,
        "values": run.values,
        **figures,
        "profile": run.profile,
    }


# ---- table and picture ----------------------------------------------------------------------------------------


def table(found: Comparison) -> Group:
    """Runs as rows, what they differ in below their names; below it what differences show, and a legend."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    how = style(found.metric, found.headline)
    count = len(found.seeds)
    name = human(found.metric, found.headline) + (", %" if how["percent"] else "")
    mode = "" if found.mode == "open" else f", {found.mode}"
    shown = Table(box=SIMPLE_HEAD)
    shown.add_column("", no_wrap=True)
    for title in ("mean", "interquartile mean", "− the first", "P(better)"):
        shown.add_column(title, justify="right")
    for run in found.runs:
        settings = "".join(f"\n  {key}={value}" for key, value in run.settings.items())
        difference = "" if run.difference is None else spread(run.difference, signed=True, **how)
        shown.add_row(
            Text(run.name + settings),
            spread(run.mean, **how),
            _between(run.iqm, *((1, 100) if how["percent"] else (None, 1))),
            difference,
            "" if run.improvement is None else _between(run.improvement, places=2),
        )
    seeds = f"{count} seed{'s' if count > 1 else ''}"
    lines = [Text(_sentence(found, run)) for run in found.runs[1:]]
    legend = [
        "± and differences: 95 % interval of the mean over seeds, by Student's t; − the first: seed by seed",
        f"[low, high]: 95 % bootstrap interval over seeds{f', too narrow below {FEW} of them' if count < FEW else ''}",
        "interquartile mean: without the lowest and highest quarter of seeds",
        f"P(better): that a seed is {'below' if found.lower else 'above'} one of the first run; equal ones count half",
    ]
    if found.left_out:
        legend.append(f"left out, since a run has no figure of them: seeds {_told(tuple(found.left_out))}")
    return Group(
        Text(f"{name}{mode} · {seeds}"), shown, *lines, *(Text(line, style="dim") for line in legend)
    )


def _between(found: Bootstrapped, places: int | None, scale: float = 1) -> str:
    """``"91.9 [90.1, 92.4]"``."""
    value, low, high = (figure(scale * number, places) for number in found)
    return value if math.isnan(found.low) else f"{value} [{low}, {high}]"


def _sentence(found: Comparison, run: Compared) -> str:
    """What a difference shows."""
    assert run.difference is not None
    how = style(found.metric, found.headline)
    unit = " points" if how["percent"] else ""
    count = f"{run.difference.n} seed{'s' if run.difference.n > 1 else ''}"
    better, worse = ("lower", "higher") if found.lower else ("higher", "lower")
    if not found.lower and is_fraction(found.metric, found.headline):
        better, worse = "better", "worse"
    word = verdict(run.difference)
    if found.lower and word in ("gain", "loss"):
        word = "loss" if word == "gain" else "gain"
    said = {
        "gain": better,
        "loss": worse,
        "equal": f"exactly equal in {count}",
        None: f"not resolved with {count}",
    }
    of = limits(run.difference, signed=True, unit=unit, **how)
    return f"{run.name} − {found.runs[0].name}: {of}: {said[word]}"


def draw(found: Comparison) -> Any:
    """Interquartile means with their intervals and the seeds behind them, and beside them performance profiles."""
    from ...envs.engine.drawing import Picture, colours, height_of, name_rows, room, style

    percent = is_fraction(found.metric, found.headline)
    scale = 100 if percent else 1
    name = human(found.metric, found.headline) + (", %" if percent else "")
    names = [run.name for run in found.runs]
    with style():
        high = max(height_of(len(names)), 0.6 * len(names))
        picture = Picture((4.6, 4.6), (high,), left=(room(names), 0.9), above=0.2)
        ((means, profiles),) = picture.panels
        for place, (run, colour) in enumerate(zip(found.runs, colours(), strict=False)):
            own = scale * np.array(run.values)
            value, low, high = (scale * number for number in run.iqm)
            means.plot(own, [place] * len(own), "|", color=colour, alpha=0.6, markersize=12)
            if not math.isnan(low):
                means.plot([low, high], [place, place], color=colour, linewidth=4, alpha=0.5)
            means.plot([value], [place], "o", color=colour)
            profiles.step(scale * np.array(found.thresholds), run.profile, color=colour, label=run.name)
        name_rows(means, names)
        means.set_xlabel(f"{name}: interquartile mean, seeds")
        profiles.set(ylabel="share of seeds above", ylim=(-0.02, 1.02))
        profiles.set_xlabel(f"{name}, threshold")
        profiles.legend()
        for axes in (means, profiles):
            axes.grid()
    return picture
