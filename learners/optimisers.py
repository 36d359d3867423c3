"""Optimisers by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..envs.errors import one_of
from .adam import StackedAdam, StackedAdamW
from .optimiser import Optimiser
from .sgd import StackedSGD

OPTIMISERS: dict[str, Callable[..., Optimiser]] = {
    "adam": StackedAdam,
    "adamw": StackedAdamW,
    "sgd": StackedSGD,
}
"""All of them."""


def make_optimiser(name: str, **options: Any) -> Callable[[Sequence[Tensor]], Optimiser]:
    """What makes an optimiser of stacks ``[P, …]``; options are checked now.

    Args:
        name: One of :data:`OPTIMISERS`.
        options: Arguments of its class.

    Raises:
        UnknownName: The name or an option is not known; lists the near ones.
        ConfigError: An option is out of range.
    """
    one_of("optimiser", name, OPTIMISERS)
    allowed = set(inspect.signature(OPTIMISERS[name]).parameters) - {"parameters"}
    for option in options:
        one_of(f"option of optimiser {name}", option, allowed)
    make = functools.partial(OPTIMISERS[name], **options)
    make([torch.zeros(1, 1)])  # refuses what is out of range before there is anything to optimise
    return make
