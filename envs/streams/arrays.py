"""Arrays that users hand over, checked and brought to the types that splits hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from .labels import held_types, refuse_masked

_CHANNELS = (1, 3, 4)
"""Grey, RGB, RGB with transparency."""


def as_tensor(array: Any, what: str) -> Tensor:
    """A detached copy of an array on the CPU; numbers that are Python objects become numbers."""
    if isinstance(array, Tensor):
        return array.detach().cpu().clone()
    refuse_masked(array, what)
    try:
        numbers = np.array(array)
        if numbers.dtype.kind == "O" and not any(isinstance(one, (str, bytes)) for one in numbers.flat):
            numbers = np.array(numbers.tolist())
    except ValueError as fault:
        raise DataError(f"{what} is no array of numbers ({fault}): give rows of equal shape") from fault
    if numbers.dtype.kind not in "biufc":
        held = held_types(numbers.ravel()[:1000].tolist())
        raise DataError(f"{what} is no array of numbers, it holds {held}: give numbers")
    return torch.from_numpy(numbers)


def as_items(x: Any, what: str) -> Tensor:
    """uint8 as it is (channels moved first), other real numbers as float32, all of them finite.

    Raises:
        DataError: They are no rows of finite numbers, or it is not plain where their channels are.
    """
    items = as_tensor(x, what)
    if items.dim() < 2:
        raise DataError(f"{what} has shape {tuple(items.shape)}: give one row an item, [n, ...]")
    if items.shape[1:].numel() == 0:
        raise DataError(
            f"{what} has shape {tuple(items.shape)}, items without numbers: give one number or more"
        )
    if items.is_complex():
        raise DataError(f"{what} holds complex numbers: give real ones")
    items = _channels_first(items, what)
    if items.dtype == torch.uint8:
        return items
    items = items.to(torch.float32)
    wrong = (~items.flatten(1).isfinite().all(1)).nonzero().flatten()
    if len(wrong):
        raise DataError(
            f"item {wrong[0]} of {what} is NaN or infinite ({len(wrong)} of {len(items)} items are): "
            "clean or drop it"
        )
    return items


def _channels_first(items: Tensor, what: str) -> Tensor:
    """Pictures ``[n, H, W, channels]`` of bytes as ``[n, channels, H, W]``; anything else as it is."""
    if items.dim() != 4 or items.shape[3] not in _CHANNELS or min(items.shape[1:3]) <= max(_CHANNELS):
        return items
    if items.dtype != torch.uint8:
        raise DataError(
            f"{what} has shape {tuple(items.shape)}, which looks like pictures with their channels last: move "
            "channels first: x.transpose(0, 3, 1, 2) (of a tensor x.permute(0, 3, 1, 2))"
        )
    return items.permute(0, 3, 1, 2).contiguous()
