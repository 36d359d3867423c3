"""From what the members of a collective say to what it says, on class distributions ``[…, E, M, C]``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...envs.mixing import weighted_sum


def mean(probs: Tensor) -> Tensor:
    """Mean distribution of the members, ``[…, M, C]``: their sum, each weighted 1/E."""
    members = probs.shape[-3]
    return weighted(probs, probs.new_full((1, members), 1 / members))


def majority(probs: Tensor) -> Tensor:
    """The class most members vote for, int64 ``[…, M]``; ties go to the greatest summed probability."""
    votes = F.one_hot(probs.argmax(-1), probs.shape[-1]).sum(-3)
    mass = probs.sum(-3)
    return mass.masked_fill(votes < votes.amax(-1, keepdim=True), -torch.inf).argmax(-1)


def vote(probs: Tensor) -> Tensor:
    """The majority as a distribution, one-hot ``[…, M, C]``."""
    return F.one_hot(majority(probs), probs.shape[-1]).to(probs.dtype)


def weighted(probs: Tensor, weights: Tensor) -> Tensor:
    """``Σᵢ wᵢ·fᵢ`` for members weighted ``[…, M, E]`` (or ``[…, 1, E]``, alike for every sample): ``[…, M, C]``."""
    return weighted_sum(weights.mT, probs)


def variance(probs: Tensor) -> Tensor:
    """Uncertainty: variance across members, averaged over classes, ``[…, M]``; 0 for a single one."""
    return probs.var(-3, correction=0).mean(-1)
