"""Trust of agents (K-1): it rises where the error falls after they have learnt, and shrinks where it does not."""

from __future__ import annotations

import torch
from torch import Tensor

from ....envs.engine import TensorDict

FIRST = 0.3
"""Of agents at first, and of newborn ones."""

_GAIN, _MOST, _LOST = 0.5, 0.3, 0.9


def judged(trust: Tensor, learnt: Tensor, before: Tensor, now: Tensor) -> Tensor:
    """Trust after a slice: of those who learnt the one before + min(.5·reduction, .3), or · .9 where there is none.

    Args:
        trust: ``[W, N]``.
        learnt: Who learnt the slice before, bool ``[W, N]``.
        before: Nats of that slice, ``[W, 1]``; infinite where there was none.
        now: Nats of this slice, ``[W, 1]``.
    """
    reduction = before - now
    new = torch.where(reduction > 0, trust + (_GAIN * reduction).clamp(max=_MOST), trust * _LOST)
    return torch.where(learnt & before.isfinite(), new.clamp(0, 1), trust)


def just_learnt(obs: TensorDict) -> Tensor:
    """Who learnt the last slice, bool ``[W, N]``."""
    return (obs["record"][..., 3] == 0) & (obs["record"][..., 5] > 0) & (obs["alive"][..., 0] > 0)


def places(values: Tensor, alive: Tensor) -> Tensor:
    """The place of each value among those of the living, 0 the lowest and 1 the highest, ``[W, N]``."""
    below = ((values[..., None] > values[..., None, :]) & alive[:, None]).sum(-1)
    return below / (alive.sum(-1, keepdim=True) - 1).clamp_min(1)
