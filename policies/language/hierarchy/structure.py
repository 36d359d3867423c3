"""When a tree is changed (K-1): each rule scores the agents that should propose an operation, −∞ of all others.

Thresholds are the documented ones. What they are held against is what agents see of themselves: shares of tokens
instead of counts of activations, cosines instead of correlations. Where the documents let gaps grow larger before a
crowded tree grows, nobody is grown there. Bridges between managers, which the documents name and do not define, are
left out.

Scaled are, as an episode is a thousandth to a two hundredth of a documented run of 500,000 steps and its tree is small:
all counts of steps, to shares of the episode (see :class:`~.k1.K1Hierarchy`; gaps persist 1 % of it); "50 activations
in 10,000", to half a per cent of the tokens; "30 of at most 50 children", to three fifths of the most there may be. As
soft routing leaves nobody without weight, a token activates the leaf of the highest weight and those above it, and idle
is whom it is long since half of an even share among those of their kind activated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ....envs.engine import TensorDict

SELDOM = 0.005
"""Share of the tokens below which an agent is seldom used: 50 of the last 10,000 steps."""
TRUSTED, DOUBTED, REWARDED = 0.3, 0.5, 0.5
"""Trust of those who may merge; below which a gap is one; of a newborn who has closed it."""
CLOSED, OPEN = 0.2, 0.05
"""Share of its errors by which a gap must shrink for a newborn to be trusted, and to stay."""
CROWDED = 0.6
"""Children of an agent, of the most there may be, from which on it is split: 30 of 50."""
FULL = 0.9
"""Share of the slots with agents above which nobody is grown."""


def _of(wanted: Tensor, scores: Tensor) -> Tensor:
    return torch.where(wanted, scores, -torch.inf)


def steps_of(aged: Tensor) -> Tensor:
    """Steps t of what is observed as t / (t + 10)."""
    return 10 * aged / (1 - aged).clamp_min(1e-6)


def prune(obs: TensorDict, trust: Tensor, threshold: Tensor, idle: int) -> Tensor:
    """Who should be retired: two of little trust, seldom used, long idle.

    Args:
        obs: Observations.
        trust: ``[W, N]``.
        threshold: Of trust, ``[W, 1]``.
        idle: Steps.
    """
    record = obs["record"]
    faults = (trust < threshold).long() + (record[..., 1] < SELDOM) + (steps_of(record[..., 4]) > idle)
    old = record[..., 5] > 0
    return _of((faults >= 2) & old, -trust)


def merge(obs: TensorDict, trust: Tensor, threshold: float) -> Tensor:
    """Who should merge: siblings of .8 the similarity observed and .2 that of their trust."""
    sibling = obs["links"][..., 1].long()
    other = trust.gather(1, sibling.clamp_min(0))
    similar = 0.8 * obs["similarity"][..., 0] + 0.2 * (1 - (trust - other).abs())
    both = (trust >= TRUSTED) & (other >= TRUSTED) & (sibling >= 0)
    return _of(both & (similar >= threshold), similar)


def grow(obs: TensorDict, trust: Tensor, persisting: int) -> Tensor:
    """Beside whom somebody should be grown: leaves of little trust to whom a cluster of errors has long fallen."""
    age = steps_of(obs["gap"][..., 1])
    space = obs["alive"][..., 0].mean(-1, keepdim=True) <= FULL
    return _of((age > persisting) & (trust < DOUBTED) & space, age)


def move(obs: TensorDict) -> Tensor:
    """Who is more often active with another manager than with their own."""
    own, other = obs["together"].unbind(-1)
    return _of(other > own, other - own)


def split(obs: TensorDict) -> Tensor:
    """Who has too many children."""
    wide = obs["own_features"][..., 4]
    return _of(wide > CROWDED, wide)


def dissolve(obs: TensorDict, idle: int) -> Tensor:
    """Managers that are long idle."""
    since = steps_of(obs["record"][..., 4])
    return _of((obs["own_features"][..., 1] > 0) & (since > idle), since)
