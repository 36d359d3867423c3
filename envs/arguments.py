"""Arguments of worlds: device and seeds, and sharing out the others among those who take them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .errors import ConfigError, UnknownArgument, short


def find_device(device: str | torch.device) -> torch.device:
    """The device as tensors name it (``cuda`` is ``cuda:0``).

    Raises:
        ConfigError: There is none of that name, or it cannot be had here.
    """
    try:
        named = torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"unknown device {short(device)}: use 'cpu', or 'cuda' (cuda:1, …) for a GPU"
        ) from None
    if named.type not in ("cpu", "cuda"):  # worlds count in int64 and float64, which mps and others lack
        raise ConfigError(
            f"device {short(str(device))} is not supported: use 'cpu', or 'cuda' (cuda:1, …) for a GPU"
        )
    try:
        return torch.zeros(1, device=named).device
    except (RuntimeError, AssertionError):  # what torch raises for missing devices
        raise ConfigError(
            f"this PyTorch finds no device {short(str(device))} on this machine: try 'cpu'"
        ) from None


def as_seeds(seed: int | Sequence[int] | np.ndarray, worlds: int) -> np.ndarray:
    """Seeds of W worlds, int64 ``[W]``: as they are given, or counted up from one number.

    Raises:
        ConfigError: They are not whole numbers in [0, 2**63), or not as many as there are worlds.
    """
    try:
        given = np.asarray(seed)
    except (TypeError, ValueError):  # what numpy says of ragged lists
        given = np.asarray(None)
    if given.dtype.kind not in "iu" or (given >= 2**63).any():
        raise ConfigError(f"a seed must be a whole number below 2**63, got {short(seed)}")
    seeds = given + np.arange(worlds) if given.ndim == 0 else given
    if seeds.shape != (worlds,) or (seeds < 0).any():  # also where counting up goes beyond 2**63
        raise ConfigError(f"seed must be one number ≥ 0 or {worlds} of them, below 2**63, got {short(seed)}")
    return seeds.astype(np.int64)


def share_out(what: str, given: Mapping[str, Any], *settings: type) -> list[dict[str, Any]]:
    """Share arguments out among dataclasses that have fields of their names.

    Args:
        what: What was called with them, for the error.
        given: The arguments by name.
        *settings: The dataclasses.

    Returns:
        The arguments of each.

    Raises:
        UnknownArgument: One that none of them has.
    """
    known = [{field.name for field in dataclasses.fields(kind)} for kind in settings]
    for name in given:
        if not any(name in names for names in known):
            raise UnknownArgument(f"{what} got an unexpected keyword argument {name!r}")
    return [{name: value for name, value in given.items() if name in names} for names in known]


def refuse(what: str, given: Mapping[str, Any], refused: Mapping[str, str]) -> None:
    """Raise where one of the arguments is refused.

    Args:
        what: What was called with them, for the error.
        given: The arguments by name.
        refused: Names, and what to do instead.

    Raises:
        ConfigError: Says what to do instead.
    """
    for name in given:
        if name in refused:
            raise ConfigError(f"{what} takes no {name}: {refused[name]}")
