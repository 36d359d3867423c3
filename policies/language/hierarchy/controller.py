"""What K-1 tunes of itself in its second phase, from what it measures. All ``[W, 1]``.

The signs of the deletion threshold, which the published program has inverted, are as its documents mean them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ....envs.engine import TensorDict

BOUNDS = {
    "deletion": (0.1, 0.4),
    "k": (1.0, 10.0),
    "exploration": (0.05, 0.5),
    "stretch": (1.0, 10.0),
    "lr": (1e-4, 1e-2),
}


class Measured(NamedTuple):
    """What the rules go by, ``[W, 1]``."""

    undone: Tensor
    """Operations undone in the window."""
    distrusted: Tensor
    """Share of the living with trust below .15."""
    loss: Tensor
    """Mean nats of the last slices."""
    best: Tensor
    """The lowest these were."""
    stale: Tensor
    """Steps since then."""
    at_work: Tensor
    """Operations tried in the window so far, over all its steps."""


def start(lr: float) -> dict[str, float]:
    """What is tuned, at first: threshold of deletion, agents that learn, chance of one by luck, of intervals, rate."""
    return {"deletion": 0.2, "k": 5.0, "exploration": 0.1, "stretch": 1.0, "lr": lr}


def tuned(memory: TensorDict, found: Measured, due: Tensor, patience: int) -> TensorDict:
    """What is tuned, after the rules were applied once.

    Args:
        memory: What it was.
        found: Measurements.
        due: Where they are applied, bool ``[W, 1]``.
        patience: Steps without a lower loss after which more is explored; after half as many again the rate rises.
    """
    prunes = 0.02 * (found.distrusted > 0.3) - 0.02 * (found.undone > 2)
    high, low = found.loss > 1.05 * found.best, found.loss <= found.best
    more = (high & (memory["k"] < 7)).float() - (low & (memory["k"] > 2)).float()
    stale = found.stale > patience
    explored = torch.where(stale, memory["exploration"] + 0.15, memory["exploration"] * 0.9)
    new = {
        "deletion": memory["deletion"] + prunes,
        "k": memory["k"] + more,
        "exploration": explored,
        "lr": memory["lr"] * (1 + 0.1 * (found.stale > 1.5 * patience)),
        "stretch": torch.where(found.at_work > 0.15, memory["stretch"] * 1.3, memory["stretch"]),
    }
    return {name: torch.where(due, value.clamp(*BOUNDS[name]), memory[name]) for name, value in new.items()}
