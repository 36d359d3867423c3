"""Arrays that users hand over, checked and brought to the types that splits hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError


def as_tensor(array: Any, what: str) -> Tensor:
    """A detached copy of an array on the CPU."""
    if isinstance(array, Tensor):
        return array.detach().cpu().clone()
    try:
        numbers = np.array(array)
    except ValueError as fault:
        raise DataError(f"{what} is no array of numbers ({fault}): give rows of equal shape") from fault
    if numbers.dtype.kind not in "biufc":
        raise DataError(f"{what} is no array of numbers, it holds {_held(numbers)}: give numbers")
    return torch.from_numpy(numbers)


def _held(array: np.ndarray) -> str:
    """What an array that is not of numbers holds."""
    kinds = {type(entry).__name__ for entry in array.ravel()[:1000].tolist()}
    return " and ".join(sorted(kinds)) or "nothing"


def as_items(x: Any, what: str) -> Tensor:
    """uint8 as it is, other real numbers as float32, all of them finite."""
    items = as_tensor(x, what)
    if items.dim() < 2:
        raise DataError(f"{what} has shape {tuple(items.shape)}: give one row an item, [n, ...]")
    if items.is_complex():
        raise DataError(f"{what} holds complex numbers: give real ones")
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


def as_labels(y: Any, what: str) -> Tensor:
    """Whole numbers from 0, int64 ``[n]``."""
    try:
        labels = as_tensor(y, what)
    except DataError as fault:
        raise DataError(f"{fault}; labels are integers 0 to C-1") from fault
    if labels.dim() != 1:
        raise DataError(f"{what} has shape {tuple(labels.shape)}: give one class number an item, [n]")
    if labels.is_floating_point() or labels.is_complex():
        raise DataError(
            f"{what} holds {str(labels.dtype).removeprefix('torch.')}: labels are integers 0 to C-1"
        )
    labels = labels.to(torch.int64)
    wrong = (labels < 0).nonzero().flatten()
    if len(wrong):
        raise DataError(f"label {wrong[0]} of {what} is {labels[wrong[0]]}: labels are integers 0 to C-1")
    return labels
