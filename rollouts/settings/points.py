"""Points of a sweep: what ``--set KEY=V1,V2`` and lists in code stand for, as a grid or drawn at random.

``KEY=ring,star`` are two values, ``KEY=[64],[128,64]`` as well; where points are drawn, ``uniform(LOW,HIGH)`` and
``loguniform(LOW,HIGH)`` are distributions, in code those of `scipy.stats`. Draws are rounded to four figures.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...envs.errors import ConfigError, short
from ...envs.validation import LAST_SEED, whole
from .parse import parse_assignments

MOST = 10_000
"""Points of a sweep at most."""

Point = dict[str, Any]

_DISTRIBUTION = re.compile(r"(uniform|loguniform)\(([^,()]+),([^,()]+)\)")
_OPEN, _CLOSE = "([{", ")]}"


def parse_choices(texts: Sequence[str]) -> dict[str, Any]:
    """Of each ``KEY=V1,V2,…`` the list of values, or a distribution.

    Raises:
        ConfigError: A text is no ``KEY=VALUE``, two give the same key, or a distribution has no two numbers in order.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if key.strip() in found:
            raise ConfigError(f"--set gives {key.strip()} twice: give all its values at once, with commas")
        parts = _split(values) if equals else [""]
        if len(parts) == 1 and (drawn := _DISTRIBUTION.fullmatch(parts[0].strip())):
            found[key.strip()] = _distribution(text, *drawn.groups())
            continue
        for part in parts:
            ((name, value),) = parse_assignments([f"{key}={part}" if equals else text]).items()
            found.setdefault(name, []).append(value)
    return found


def points_of(choices: Mapping[str, Any], *, samples: int | None = None, seed: int = 0) -> list[Point]:
    """All combinations of the values, or some.

    Args:
        choices: Name to a list of values, a distribution with a method ``rvs``, or a single value.
        samples: How many points are drawn, without repetition where there are no distributions; None takes all.
        seed: Of the draws.

    Raises:
        ConfigError: There are no values, too many points, or distributions and no number of samples.
    """
    import numpy as np

    if samples is not None:
        whole("samples", samples, 1)
        seed = whole("seed", seed, 0, LAST_SEED)
    lists = {name: values_of(name, given) for name, given in choices.items() if not is_distribution(given)}
    drawn = {name: given for name, given in choices.items() if is_distribution(given)}
    if drawn and samples is None:
        raise ConfigError(
            f"{', '.join(drawn)} has no list of values: say how many points to draw, with --samples"
        )
    count = math.prod(len(values) for values in lists.values())
    if (wanted := count if samples is None else samples) > MOST:
        raise ConfigError(
            f"{wanted:,} points are too many: sweep {MOST:,} at most, or draw some with --samples"
        )
    if samples is None:
        return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    rng = np.random.default_rng(seed)
    if not drawn:
        chosen = rng.permutation(count)[:samples] if count <= MOST else _some_of(count, samples, rng)
        return [_nth(lists, int(number)) for number in sorted(chosen)]
    found = []
    for _ in range(samples):
        point = {name: values[int(rng.integers(len(values)))] for name, values in lists.items()}
        point |= {name: float(f"{float(by.rvs(random_state=rng)):.4g}") for name, by in drawn.items()}
        found.append({name: point[name] for name in choices})
    return found


def _nth(lists: Mapping[str, list[Any]], number: int) -> Point:
    """A point of the grid by its number, in the order of :func:`itertools.product`."""
    point = {}
    for name, values in reversed(list(lists.items())):
        number, place = divmod(number, len(values))
        point[name] = values[place]
    return {name: point[name] for name in lists}


def _some_of(count: int, samples: int, rng: Any) -> set[int]:
    """Different numbers below ``count``, of which there are far more."""
    found: set[int] = set()
    while len(found) < min(samples, count):
        found.add(int(rng.integers(count)))
    return found


def values_of(name: str, given: Any) -> list[Any]:
    """The values of a list, or a single one.

    Raises:
        ConfigError: There is none, one is there twice, there are too many, or they have no order.
    """
    if isinstance(given, (set, frozenset, Iterator)):
        raise ConfigError(f"{name} must be a list where it is several values, got {short(given)}")
    if not isinstance(given, (list, tuple, range)):
        return [given]
    if not given:
        raise ConfigError(f"{name} has no value: give one or more")
    if len(given) > MOST:
        raise ConfigError(
            f"{name} has {len(given):,} values: give {MOST:,} at most, or a distribution to draw from"
        )
    values = list(given)
    if len({repr(value) for value in values}) < len(values):
        raise ConfigError(f"{name} names a value twice: {short(values)}")
    return values


def is_distribution(given: Any) -> bool:
    """Whether it is a distribution of `scipy.stats`."""
    return callable(getattr(given, "rvs", None))


def distribution_of(name: str, given: Any) -> tuple[float, float, bool]:
    """The ends of a uniform distribution, and whether it is of logarithms.

    Raises:
        ConfigError: It is another distribution, or has no end.
    """
    kind = given.dist.name if hasattr(given, "dist") else ""
    if kind not in ("uniform", "loguniform", "reciprocal"):
        raise ConfigError(
            f"{name} must be uniform or loguniform where a sampler chooses, got {kind or short(given)}"
        )
    low, high = map(float, given.support())
    if not high - low < math.inf:
        raise ConfigError(
            f"{name} must be between two numbers where a sampler chooses, got {low:g} to {high:g}"
        )
    return low, high, kind != "uniform"


def _distribution(text: str, kind: str, low: str, high: str) -> Any:
    from scipy import stats

    try:
        first, last = float(low), float(high)
    except ValueError:
        first = last = math.nan
    least = 0 if kind == "loguniform" else -math.inf
    if not (least < first < last < math.inf and last - first < math.inf):
        raise ConfigError(
            f"{kind}(LOW,HIGH) takes two numbers in order{', above 0' if least == 0 else ''}, got {text!r}"
        )
    return stats.loguniform(first, last) if kind == "loguniform" else stats.uniform(first, last - first)


def _split(text: str) -> list[str]:
    """The parts between commas, but those within brackets or quotes."""
    parts, depth, quoted, begun = [], 0, False, 0
    for place, sign in enumerate(text):
        if sign == '"':
            quoted = not quoted
        elif not quoted and sign in _OPEN:
            depth += 1
        elif not quoted and sign in _CLOSE:
            depth -= 1
        elif sign == "," and not quoted and depth == 0:
            parts.append(text[begun:place])
            begun = place + 1
    return [*parts, text[begun:]]
