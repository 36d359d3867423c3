"""Figures in sentences: each stands before a comment that says what it is and where it was measured.

    reaches 74.2 ± 0.8<!--= percent society:base:policies:ppo gated:values --> per cent

The comment names a format and a place. A place begins with a file of results (``docs/results/society.json``), or with
``claims`` (what scenarios hold as documented), ``sources`` (figures of others), ``k1_forgotten`` or
``k1_hierarchy_forgotten`` (what K-1's tables say of equal loss), and goes on with keys, divided by
colons. In a list a key is a number, or what one of its items has anywhere (``scenarios:classroom-mnist``); ``*`` takes
all items. ``{a − b}`` and ``{a / b}`` take the difference or ratio of two places, seed by seed where they hold a value
each. What stands there is a number, a list of one value a seed, an interval, or such lists by case, whose mean counts.

Formats, with the mean alone to so many decimals where ``.1`` stands behind, or to two figures with ``.2g``:

| format | what it writes |
|---|---|
| `percent` | a fraction in per cent, with its 95 % interval |
| `points` | a difference of fractions in percentage points, with its sign |
| `value` | in its own unit |
| `difference` | the same with its sign |
| `count` | a whole number, or how many there are |
| `seconds` | whole seconds |
"""

import functools
import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from studyhall.rollouts import Interval, interval
from studyhall.rollouts.reports.figures import as_interval, figure, spread
from studyhall.scenarios import registry, sources

from . import k1, k1_hierarchy

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "docs" / "results", ROOT / "benchmarks" / "results")

_NUMBER = r"[+−]?\d[\d.,]*(?:e[+−-]?\d+)?"
FIGURE = re.compile(rf"(?:{_NUMBER}(?: ± {_NUMBER})?(?: \(\d+ of \d+\))?|–)?<!--= (.+?) -->")
"""A figure and its comment; before it is filled in for the first time there may be the comment alone."""

_OPERATORS = {"−": operator.sub, "/": operator.truediv}
_BETWEEN = re.compile(rf"\{{(.+) ([{''.join(_OPERATORS)}]) (.+)\}}")


def filled(text: str) -> str:
    """A page with the figures of its sentences.

    Raises:
        LookupError: A comment asks for what is not there; says which.
    """
    return FIGURE.sub(lambda found: f"{written(found[1])}<!--= {found[1]} -->", text)


def written(recipe: str) -> str:
    """What a comment asks for, e.g. ``"points.1 messages_rl:routes:ppo:gain"``."""
    kind, _, place = recipe.partition(" ")
    name, _, digits = kind.partition(".")
    if name not in FORMATS:
        raise LookupError(f"{recipe}: the format is one of {', '.join(FORMATS)}")
    try:
        found = _found(place)
    except (LookupError, TypeError) as fault:
        raise LookupError(f"{recipe}: there is nothing at {fault}") from None
    return FORMATS[name](found, digits)


def _found(place: str) -> Any:
    if between := _BETWEEN.search(place):
        one, sign, other = between.groups()
        before, behind = place[: between.start()], place[between.end() :]
        values = [_values(_found(f"{before}{key}{behind}")) for key in (one, other)]
        return [_OPERATORS[sign](a, b) for a, b in zip(*values, strict=True)]
    root, *keys = re.split(r":(?! )", place)
    return _inside(ROOTS[root]() if root in ROOTS else _file(root), keys)


def _inside(found: Any, keys: list[str]) -> Any:
    if not keys:
        return found
    key, *rest = keys
    if key == "*":
        return [_inside(item, rest) for item in (found.values() if isinstance(found, Mapping) else found)]
    in_order = isinstance(found, list | tuple)
    if in_order and not key.isdigit():
        named = [item for item in found if isinstance(item, Mapping) and key in item.values()]
        if len(named) != 1:
            raise LookupError(key)
        return _inside(named[0], rest)
    return _inside(found[int(key) if in_order else key], rest)


def _file(name: str) -> Any:
    for folder in FOLDERS:
        if (path := folder / f"{name}.json").exists():
            return _parsed(path.read_text(encoding="utf-8"))
    raise LookupError(name)


@functools.cache
def _parsed(text: str) -> Any:
    """What a file holds, to read: a page asks for the same few files hundreds of times."""
    return json.loads(text)


def _documented() -> dict[str, dict[str, float]]:
    """Scenario to claim to its documented figure; ``"vote − title"`` is a claim of a difference."""
    return {
        name: {
            " − ".join(filter(None, (claim.metric, claim.minus))): claim.documented
            for claim in scenario.claims
        }
        for name, scenario in registry.items()
    }


def _forgotten() -> dict[str, dict[str, list[float]]]:
    """Arm of K-1's table to level of code to what is forgotten of prose there, a value a seed, where all came there."""
    return {
        arm: {level: list(values.values()) for level, values in levels.items() if values}
        for arm, levels in k1.forgotten(_file("k1")["pareto"]).items()
    }


def _forgotten_in_trees() -> dict[str, dict[str, list[float]]]:
    """The same of K-1's trees, at shares of dense training's gain."""
    return {
        arm: {
            k1_hierarchy.GAINS[gain]: list(values.values())
            for gain, values in row.forgotten.items()
            if values
        }
        for arm, row in k1_hierarchy.rows_of(_file("k1_hierarchy")).items()
    }


ROOTS: dict[str, Callable[[], Any]] = {
    "claims": _documented,
    "k1_forgotten": _forgotten,
    "k1_hierarchy_forgotten": _forgotten_in_trees,
    "sources": lambda: {key: source.figures for key, source in sources.items()},
}
"""What a place may begin with beside a file; what a page works out before it shows it can be given a name here."""


def _values(found: Any) -> list[float]:
    """One value a seed; of lists by case their mean."""
    if isinstance(found, Mapping):
        return [fmean(of_seed) for of_seed in zip(*found.values(), strict=True)]
    values = found if isinstance(found, list | tuple) else [found]
    return [math.nan if value is None else value for value in values]


def _interval(found: Any) -> Interval:
    if isinstance(found, Mapping) and "half" in found:
        return as_interval({name: found[name] for name in Interval._fields})
    return interval(_values(found))


def _in_unit(scale: float, signed: bool) -> Callable[[Any, str], str]:
    def write(found: Any, digits: str) -> str:
        of = _interval(found)
        if not digits:
            return spread(of, percent=scale == 100, signed=signed, digits=2 if scale == 100 else None)
        if digits.endswith("g"):
            return f"{scale * of.mean:.{digits}}".replace("-", "−", of.mean < 0)
        return figure(scale * of.mean, int(digits), signed=signed)

    return write


def _count(found: Any, digits: str) -> str:
    return f"{len(found) if isinstance(found, list | Mapping) else round(found):,}"


def _seconds(found: Any, digits: str) -> str:
    return f"{_interval(found).mean:,.0f}"


FORMATS: dict[str, Callable[[Any, str], str]] = {
    "percent": _in_unit(100, False),
    "points": _in_unit(100, True),
    "value": _in_unit(1, False),
    "difference": _in_unit(1, True),
    "count": _count,
    "seconds": _seconds,
}
