"""What K-1 finds wrong with itself."""

from __future__ import annotations

import torch
from torch import Tensor

from ....envs.engine import TensorDict

FINDINGS = ("stagnation", "distrust", "crowding", "redundancy", "unstable_trust")


def found(obs: TensorDict, trust: Tensor, stale: Tensor, patience: int, similar: float) -> Tensor:
    """Which of :data:`FINDINGS` hold, bool ``[W, 5]``.

    Args:
        obs: Observations.
        trust: ``[W, N]``.
        stale: Steps since the loss last fell, ``[W, 1]``.
        patience: Steps after which that is stagnation.
        similar: Similarity from which on siblings are redundant.
    """
    alive = obs["alive"][..., 0] > 0
    count = alive.sum(-1).clamp_min(1)
    mean = (trust * alive).sum(-1) / count
    spread = ((trust - mean[:, None]).square() * alive).sum(-1) / count
    return torch.stack(
        [
            stale[:, 0] > patience,
            (alive & (trust < 0.15)).sum(-1) > 0.4 * count,
            alive.float().mean(-1) > 0.9,
            (alive & (obs["similarity"][..., 0] >= similar)).sum(-1) > 0.2 * count,
            spread > 0.1,
        ],
        dim=-1,
    )
