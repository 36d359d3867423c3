"""Tensors by name as one vector, and the bounds of that vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor


def join(tensors: Mapping[str, Tensor], names: Iterable[str], lead: int) -> Tensor:
    """Tensors one after the other, float32 ``[..., F]``.

    Args:
        tensors: By name, ``[..., *shape]``.
        names: Which, in this order.
        lead: How many dimensions stand in front; the others are flattened.
    """
    return torch.cat([tensors[name].flatten(lead).float() for name in names], dim=-1)


def joined_space(boxes: Iterable[spaces.Box]) -> spaces.Box:
    """The space of the numbers of Boxes one after the other, float32 ``(F,)``."""
    lows, highs = zip(*((box.low.ravel(), box.high.ravel()) for box in boxes), strict=True)
    low, high = np.concatenate(lows).astype(np.float32), np.concatenate(highs).astype(np.float32)
    return spaces.Box(low, high, dtype=np.float32)
