"""Bids of agents for who learns."""

from __future__ import annotations

import torch
from torch import Tensor


def read(bids: Tensor) -> Tensor:
    """Bids ``[W, N]`` of actions ``[W, N, 1]``, from 0 to 1; what is not finite is 0."""
    bids = bids[..., 0].detach()
    return torch.where(bids.isfinite(), bids.clamp(0, 1), 0.0)


def ranked(bids: Tensor, by_luck: Tensor) -> Tensor:
    """Agents in the order of their bids, the highest first, and of equal ones by luck: int64 ``[W, N]``.

    Args:
        bids: ``[W, N]``.
        by_luck: Agents in a random order, int64 ``[W, N]``.
    """
    return by_luck.gather(1, bids.gather(1, by_luck).argsort(dim=-1, descending=True, stable=True))
