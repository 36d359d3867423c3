"""Points of a sweep that a sampler of Optuna chooses, each by what was found at those before it."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ...envs.errors import ConfigError, one_of, text
from ...envs.validation import LAST_SEED, flag, whole
from ..storage.text import plain
from .points import MOST, Point, distribution_of, is_distribution, values_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SAMPLERS = {"tpe": "TPESampler", "gp": "GPSampler"}
"""Classes of Optuna: Parzen estimators (Bergstra et al., 2011), and a Gaussian process."""


class Range(NamedTuple):
    """Numbers between two, by their logarithm or not."""

    low: float
    high: float
    log: bool


@dataclass(frozen=True)
class Search:
    """What is sought, where, and how.

    Args:
        choices: Name to a list of values, or to a range.
        samples: Points.
        sampler: One of :data:`SAMPLERS`.
        seed: Of the sampler.
        metric: What is to be high, its mean over the seeds of a point; None is what the table shows.
        lower: Whether it is to be low instead.

    Raises:
        UnknownName: No such sampler.
        ConfigError: Optuna is not installed, or an argument is out of range.
    """

    choices: Mapping[str, list[Any] | Range]
    samples: int
    sampler: str = "tpe"
    seed: int = 0
    metric: str | None = None
    lower: bool = False

    def __post_init__(self) -> None:
        one_of("sampler", self.sampler, SAMPLERS)
        whole("samples", self.samples, 1, MOST)
        whole("seed", self.seed, 0, LAST_SEED)
        flag("lower", self.lower)
        if self.metric is not None:
            text("metric", self.metric, "mean")
        if not self.varied:
            raise ConfigError("there is nothing to choose: give a setting several values, or a range")
        if importlib.util.find_spec("optuna") is None:
            raise ConfigError(f"sampler {self.sampler} needs Optuna: pip install 'studyhall[sweep]'")

    @property
    def varied(self) -> list[str]:
        """Names of what is chosen."""
        return [name for name, given in self.choices.items() if len(given) > 1]

    def examples(self) -> list[Point]:
        """Points that have every value and both ends of every range, to be checked before anything is run."""
        ends = {name: list(by[:2]) if isinstance(by, Range) else by for name, by in self.choices.items()}
        most = max(len(values) for values in ends.values())
        return [
            {name: values[min(place, len(values) - 1)] for name, values in ends.items()}
            for place in range(most)
        ]

    def ask(self, found: Sequence[tuple[Point, float]]) -> Point:
        """The next point, a function of the seed and of what was found: points as JSON has them, and their figures."""
        import numpy as np
        import optuna
        from optuna.trial import TrialState, create_trial

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        number = int(np.random.SeedSequence([self.seed, len(found)]).generate_state(1)[0])
        sampler = getattr(optuna.samplers, SAMPLERS[self.sampler])(seed=number)
        study = optuna.create_study(direction="minimize" if self.lower else "maximize", sampler=sampler)
        by = self._distributions()
        for point, value in found:
            judged = {"value": value} if math.isfinite(value) else {"state": TrialState.FAIL}
            study.add_trial(create_trial(params=self._places(point), distributions=by, **judged))
        chosen = study.ask(by).params
        return {name: self._value(name, chosen.get(name)) for name in self.choices}

    def _distributions(self) -> dict[str, BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        found: dict[str, BaseDistribution] = {}
        for name in self.varied:
            given = self.choices[name]
            if isinstance(given, Range):
                found[name] = FloatDistribution(given.low, given.high, log=given.log)
            else:
                found[name] = CategoricalDistribution(range(len(given)))  # of values that Optuna may not hold
        return found

    def _places(self, point: Point) -> dict[str, Any]:
        """A point as Optuna has it."""
        return {
            name: point[name] if isinstance(given, Range) else plain({name: given})[name].index(point[name])
            for name, given in self.choices.items()
            if name in self.varied
        }

    def _value(self, name: str, chosen: Any) -> Any:
        given = self.choices[name]
        if isinstance(given, Range):
            return min(max(float(f"{chosen:.4g}"), given.low), given.high)
        return given[0 if chosen is None else chosen]


def search_of(choices: Mapping[str, Any], **options: Any) -> Search:
    """A search among what a user gave.

    Args:
        choices: As of :func:`~studyhall.rollouts.settings.points.points_of`; distributions are uniform or loguniform.
        **options: Of :class:`Search`.

    Raises:
        ConfigError: Another distribution, or arguments that cannot be.
    """
    if options.get("samples") is None:
        raise ConfigError("a sampler chooses a number of points: say how many, with --samples")
    ranges = {
        name: Range(*distribution_of(name, given)) if is_distribution(given) else values_of(name, given)
        for name, given in choices.items()
    }
    return Search(ranges, **options)


def read_search(described: Mapping[str, Any]) -> Search:
    """What a file says of a search; ranges are lists of three there, among lists of one.

    Raises:
        KeyError, TypeError, AttributeError: It is no description of a search.
        ConfigError: It says what cannot be.
    """
    choices = {
        name: _read_range(*given["range"]) if isinstance(given, Mapping) else values_of(name, list(given))
        for name, given in described["choices"].items()
    }
    return Search(**{**described, "choices": choices})


def _read_range(low: float, high: float, log: bool) -> Range:
    if not (0 if log else -math.inf) < low < high < math.inf:
        raise TypeError("a range is of two numbers in order, above 0 where it is of logarithms")
    return Range(float(low), float(high), log)


def described(search: Search) -> dict[str, Any]:
    """What :func:`read_search` reads."""
    choices = {
        name: {"range": list(given)} if isinstance(given, Range) else given
        for name, given in search.choices.items()
    }
    return {**vars(search), "choices": choices}


def figure_of(values: Iterable[float]) -> float:
    """The mean over seeds; NaN where one of them is, or where there are none."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan
