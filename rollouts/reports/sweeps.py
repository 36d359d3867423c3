"""What a sweep found: a row a point, figures over its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...envs.errors import ConfigError, one_of
from ..metrics.names import EXAM, human, is_fraction
from ..terminal import output
from .cells import style
from .figures import spread
from .report import are_numbers, numbers
from .stats import Interval, interval

if TYPE_CHECKING:
    import pandas
    from rich.console import Group

HELD_OUT = "held-out"
"""The mode of what trainings found."""

Metrics = dict[str, dict[str, list[float]]]


@dataclass
class Found:
    """What was found in a run or training of a sweep.

    Args:
        name: Of its folder, within the sweep's.
        point: Number of the point; trainings of several seeds share one.
        settings: What was set.
        seeds: One column each in ``metrics``.
        headline: Of the world, or what a training is judged by.
        metrics: Mode to metric to one value a seed, as in a report; of trainings the only mode is "held-out".
    """

    name: str
    point: int
    settings: dict[str, Any]
    seeds: list[int]
    headline: str
    metrics: Metrics


@dataclass
class Swept:
    """A sweep; it prints as a table, and notebooks show it.

    Args:
        folder: Where it is; each run or training in a folder of its own there.
        scenario: Its name.
        found: What was found so far, in order.
        metric: What the table shows; None takes the mean test accuracy of a class, of others the headline.
        lower: Of a search, whether low figures are good; None of other sweeps.
    """

    folder: Path
    scenario: str
    found: list[Found] = field(default_factory=list)
    metric: str | None = None
    lower: bool | None = None

    def __repr__(self) -> str:
        """Where it is, and how much there is of it."""
        return f"<Swept {self.folder}: {len(self.points())} points of {self.scenario}>"

    def __str__(self) -> str:
        """The table."""
        return output.as_text(sweep_table(self))

    def _repr_html_(self) -> str:
        return output.as_html(sweep_table(self))

    def points(self) -> list[Found]:
        """What was found by settings: trainings of several seeds together."""
        together: dict[int, Found] = {}
        for one in self.found:
            if one.point not in together:
                together[one.point] = Found(one.name, one.point, one.settings, [], one.headline, {})
            _add(together[one.point], one)
        return list(together.values())

    def best(self) -> Found | None:
        """The point with the highest mean of :meth:`shown_metric`, the lowest where ``lower``; None: no figures."""
        metric = self.shown_metric()
        worth = {}
        for one in self.points():
            values = next(iter(one.metrics.values())).get(metric, [])  # the open worlds come first
            if values and all(map(math.isfinite, values)):
                worth[one.point] = one, (-1 if self.lower else 1) * sum(values) / len(values)
        return max(worth.values(), key=lambda found: found[1])[0] if worth else None

    def frame(self) -> pandas.DataFrame:
        """A row for each point, mode and seed: what was set, and every metric."""
        import pandas

        return pandas.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Those of :meth:`frame`."""
        return [
            {
                **one.settings,
                "mode": mode,
                "seed": seed,
                **{metric: values[i] for metric, values in metrics.items()},
            }
            for one in self.found
            for mode, metrics in one.metrics.items()
            for i, seed in enumerate(one.seeds)
        ]

    def shown_metric(self) -> str:
        """What the table shows.

        Raises:
            UnknownName: It was not measured; lists the near ones.
        """
        known = [metric for one in self.found for metrics in one.metrics.values() for metric in metrics]
        headline = self.found[0].headline
        usual = "mean" if headline == EXAM and "mean" in known else headline
        return one_of("metric", usual if self.metric is None else self.metric, dict.fromkeys(known))

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        return {
            "folder": str(self.folder),
            "scenario": self.scenario,
            "points": [
                {
                    "settings": one.settings,
                    "seeds": one.seeds,
                    "headline": one.headline,
                    "metrics": one.metrics,
                    "summary": {
                        mode: {metric: interval(values)._asdict() for metric, values in metrics.items()}
                        for mode, metrics in one.metrics.items()
                    },
                }
                for one in self.points()
            ],
            "folders": [one.name for one in self.found],
        }


def _add(to: Found, one: Found) -> None:
    to.seeds.extend(one.seeds)
    for mode, metrics in one.metrics.items():
        for metric, values in metrics.items():
            to.metrics.setdefault(mode, {}).setdefault(metric, []).extend(values)


def read_found(name: str, described: Mapping[str, Any]) -> Found:
    """What was found, from JSON.

    Raises:
        ConfigError: It is something else.
    """
    try:
        found = Found(name=name, **{**described, "metrics": numbers(described["metrics"])})
        if not _is_found(found):
            raise TypeError
    except (KeyError, TypeError, AttributeError) as fault:
        raise ConfigError(f"what was found in {name} is something else: remove results.json") from fault
    return found


def _is_found(found: Found) -> bool:
    """Whether its parts have the types that tables suppose, and there is a figure of every seed."""
    return (
        isinstance(found.settings, dict)
        and isinstance(found.seeds, list)
        and all(type(seed) is int for seed in found.seeds)
        and type(found.point) is int
        and isinstance(found.headline, str)
        and all(found.metrics.values())
        and bool(found.metrics)
        and all(
            are_numbers(v, len(found.seeds)) for of_mode in found.metrics.values() for v in of_mode.values()
        )
    )


def sweep_table(swept: Swept) -> Group:
    """A row a point: what is not the same in all, then the metric by mode, and differences from the open worlds.

    A single point is named as its scenario.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    points = swept.points()
    metric = swept.shown_metric()
    headline = points[0].headline
    how = style(metric, headline)
    name = human(metric, headline) + (", %" if is_fraction(metric, headline) else "")
    modes = list(dict.fromkeys(mode for one in points for mode in one.metrics))
    names = dict.fromkeys(name for one in points for name in one.settings)
    varied = [n for n in names if len({repr(one.settings.get(n, ...)) for one in points}) > 1]
    table = Table(box=SIMPLE_HEAD)
    for title in varied or ["scenario"]:
        table.add_column(title)
    for title in (*modes, *(f"open − {mode}" for mode in modes[1:])):
        table.add_column(title, justify="right")
    for one in points:
        told = [str(one.settings.get(n, "–")) for n in varied] or [swept.scenario]
        values = [one.metrics.get(mode, {}).get(metric) for mode in modes]
        cells = [spread(_over(own), **how) for own in values]
        cells += [spread(_difference(values[0], own), signed=True, **how) for own in values[1:]]
        table.add_row(*told, *cells)
    counts = sorted({len(one.seeds) for one in points})
    seeds = f"{' or '.join(map(str, counts))} seed{'s' if counts[-1] > 1 else ''}"
    notes = [f"mean ± 95 % interval over {seeds}, by Student's t" if counts[-1] > 1 else seeds]
    if HELD_OUT in modes:
        notes.append(
            "held-out: the best evaluation, by which it was chosen; what `studyhall run` measures was not"
        )
    if swept.lower is not None and (best := swept.best()):
        notes.append(f"best: {swept.folder / best.name}")
    return Group(Text(f"{swept.scenario}: {name}"), table, *(Text(line, style="dim") for line in notes))


def _over(values: list[float] | None) -> Interval | None:
    return interval(values) if values else None


def _difference(one: list[float] | None, other: list[float] | None) -> Interval | None:
    if one is None or other is None:
        return None
    return interval([a - b for a, b in zip(one, other, strict=True)])
