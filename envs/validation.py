"""Checks of arguments: one clear line about what is wrong, before anything is made."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from .errors import ConfigError, short

MOST = 2**31 - 1
"""The greatest whole number that an argument takes where nothing closer bounds it."""

MOST_REAL = 1e18
"""The greatest number that an argument takes where nothing closer bounds it: its square is a float32 number."""

MOST_LAYERS = 100
"""Layers of a network that talks."""

LAST_SEED = 2**63 - 1
"""The greatest seed, of worlds and of what has a seed of its own."""

MOST_STEPS = 10_000
"""Gradient steps within one step of a world: time, not memory."""

MOST_WORLDS = 2**24
"""Worlds of a batch."""

MOST_NUMBERS = 2**28
"""Numbers that a tensor of one world may hold, all agents together: 1 GiB of float32."""

MOST_OF_A_BATCH = 2**35
"""Numbers that a tensor of all worlds of a batch may hold: 128 GiB of float32."""


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """The argument as an int, if it is a whole number in ``[low, high]``; at most :data:`MOST` without a ``high``.

    Raises:
        ConfigError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not _within(value, low, high):
        raise ConfigError(f"{name} must be a whole number {_range(low, high)}, got {short(value)}")
    if high is None and int(value) > MOST:
        raise ConfigError(f"{name} must be {MOST:,} at most: give a smaller number")
    return int(value)


def keep(settings: Any, **checked: Any) -> None:
    """Set fields of a frozen dataclass, from within its ``__post_init__``, to what their checks made of them."""
    for name, value in checked.items():
        object.__setattr__(settings, name, value)


def widths(name: str, value: Any) -> tuple[int, ...]:
    """The argument as widths of hidden layers, if it is a sequence of whole numbers of at least 1.

    Raises:
        ConfigError: It is not.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise ConfigError(f"{name} must be a list of widths, got {short(value)}")
    return tuple(whole(f"each width in {name}", width, 1) for width in value)


def afford(worlds: int, lower: str, **factors: int) -> None:
    """Refuse sizes that take memory out of all proportion, before any is taken.

    Args:
        worlds: W.
        lower: What to lower so that one world takes less, e.g. ``"agents or slice_size"``.
        **factors: What is multiplied to the size of one world's tensor.

    Raises:
        ConfigError: It would hold more than :data:`MOST_NUMBERS`, or more than :data:`MOST_OF_A_BATCH` with those of
            all worlds.
    """
    factors = {name: int(factor) for name, factor in factors.items()}  # numpy's would wrap around
    size = math.prod(factors.values())
    if size <= MOST_NUMBERS and size * worlds <= MOST_OF_A_BATCH:
        return
    most, of = MOST_NUMBERS, "world"
    if size <= MOST_NUMBERS:
        factors, size = {"num_worlds": worlds, **factors}, size * worlds
        most, of, lower = MOST_OF_A_BATCH, "batch", "num_worlds"
    product = " × ".join(f"{name} {factor:,}" for name, factor in factors.items())
    raise ConfigError(
        f"{product} would be {size:.1e} numbers, more than the {most:,} of the greatest {of}: lower {lower}"
    )


def real(name: str, value: Any, low: float, high: float | None = None) -> float:
    """The argument as a float, if it is a number in ``[low, high]``; of magnitude 1e18 at most without a ``high``.

    Raises:
        ConfigError: It is not.
    """
    if not _is_number(value) or not _within(value, low, high):
        raise ConfigError(f"{name} must be a number {_range(low, high)}, got {short(value)}")
    if high is None and abs(value) > MOST_REAL:
        raise ConfigError(f"{name} must be within ±{MOST_REAL:g}, got {short(value)}")
    return float(value)


def rate(name: str, value: Any) -> float:
    """The argument as a float, if it is a number above 0.

    Learning rates have no upper limit: a learner that one spoils is seen, and ends its world.

    Raises:
        ConfigError: It is not.
    """
    if not _is_number(value) or not 0 < value <= sys.float_info.max:  # whole numbers may be beyond floats
        raise ConfigError(f"{name} must be a number above 0, got {short(value)}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """The argument as a bool, if it is true or false.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"{name} must be true or false, got {short(value)}")
    return bool(value)


def mapping(name: str, value: Any) -> dict[str, Any]:
    """The argument as a dict, if it is a mapping of names to values; an empty one of None.

    Raises:
        ConfigError: It is not.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name} must be a mapping of names to values, got {short(value)}")
    return dict(value)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no truth value."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    size: Any = abs(value.item() if isinstance(value, np.generic) else value)
    return bool(size < math.inf)


def _within(value: Any, low: float, high: float | None) -> bool:
    return bool(low <= value and (high is None or value <= high))


def _range(low: float, high: float | None) -> str:
    return f"of at least {low}" if high is None else f"between {low} and {high}"
