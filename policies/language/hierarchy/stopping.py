"""When nothing more is learnt (K-1): no progress for long, or none that can be told from nothing."""

from __future__ import annotations

import torch
from torch import Tensor

PROGRESS = 0.001
"""Nats by which the loss must fall to count."""
STEADY = 0.001
"""Standard deviation of losses below which they have converged."""


def stopped(stale: Tensor, mean: Tensor, square: Tensor, patience: int) -> Tensor:
    """Where learning stops, bool shaped like its arguments.

    Args:
        stale: Steps since the loss last fell by :data:`PROGRESS`.
        mean: Of recent losses.
        square: Mean of their squares.
        patience: Steps.
    """
    spread = (square - mean.square()).clamp_min(0).sqrt()
    return (stale > patience) | ((spread < STEADY) & mean.isfinite() & (stale > 0)) & torch.isfinite(square)
