"""Every collective is a weighted sum of specialists, y = Σ wᵢ(x)·fᵢ(x): where weights come from, and what they tell.

Tensors are ``[…, N, R]`` for N members and R samples, answers ``[…, N, R, C]``. Weights over the members of a sample
sum to 1, or are all 0 where nobody bid for it: the sample is dropped.

==============  ===================================================================================
weighting       weights of the members of a sample
==============  ===================================================================================
``normalised``  bids divided by their sum
``top_k``       of the k highest bids alone, divided by their sum (equal bids: the earlier member)
``votes``       as ``normalised``, but an answer counts as a vote for its best class, and an all-zero one as
                none; of tied classes the one with the greatest weighted sum of probabilities wins
==============  ===================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import one_of
from .exam import distributions
from .validation import keep, whole

WEIGHTINGS = ("normalised", "top_k", "votes")

_TIE = 1e-5  # a lead in votes below this is rounding


def weighted_sum(weights: Tensor, answers: Tensor) -> Tensor:
    """Σ w·f over members, ``[…, R, C]``.

    No matrix product: those round by the size of a batch, and a world in a batch is to equal the same world alone.

    Args:
        weights: ``[…, N, R]``, or ``[…, N, 1]`` where they are the same for all samples.
        answers: ``[…, N, R, C]``.
    """
    return (weights[..., None] * answers).sum(-3)


@dataclass(frozen=True)
class Mixing:
    """How bids and answers become one answer.

    Args:
        members: N.
        weighting: One of :data:`WEIGHTINGS`.
        k: Members heard on a sample by ``top_k``.
    """

    members: int
    weighting: str = "normalised"
    k: int = 2

    def __post_init__(self) -> None:
        most = self.members if one_of("weighting", self.weighting, WEIGHTINGS) == "top_k" else None
        keep(self, weighting=str(self.weighting), k=whole("k (members heard on a sample)", self.k, 1, most))

    def weights(self, bids: Tensor) -> Tensor:
        """Weights ``[…, N, R]`` of bids ``[…, N, R]``; what is not finite or below 0 is no bid."""
        bids = torch.where(torch.isfinite(bids) & (bids > 0), bids, 0.0)
        if self.weighting == "top_k" and self.k < self.members:
            order = bids.argsort(dim=-2, descending=True, stable=True)
            bids = torch.where(order.argsort(dim=-2) < self.k, bids, 0.0)
        return distributions(bids.mT)[0].mT

    def alone(self, bids: Tensor) -> Tensor:
        """Weights of members who know of nobody else, ``[…, N, R]``: 1 where one bids."""
        return (torch.isfinite(bids) & (bids > 0)).to(bids.dtype)

    def mix(self, weights: Tensor, answers: Tensor) -> Tensor:
        """The collective's answers ``[…, R, C]``; zeros where a sample is dropped.

        They are Σ w·f, and the greatest of them wins: of tied votes the winner's is the next number above the others'.

        Args:
            weights: ``[…, N, R]``, of :meth:`weights`.
            answers: ``[…, N, R, C]``, distributions; all-zero ones add nothing.
        """
        said = weighted_sum(weights, answers)
        if self.weighting != "votes":
            return said
        votes = F.one_hot(answers.argmax(-1), answers.shape[-1]) * (answers.sum(-1, keepdim=True) > 0)
        return _untied(weighted_sum(weights, votes), said)

    def without_each(self, bids: Tensor, answers: Tensor) -> Tensor:
        """What the collective would answer without each of its members, ``[…, N, R, C]``, in one pass.

        Exact: the weights are made anew from the bids of the others, so that whom one kept out of the first k is in.
        All at once takes memory for N² answers to every sample.

        Args:
            bids: ``[…, N, R]``.
            answers: ``[…, N, R, C]``.
        """
        others = ~torch.eye(self.members, dtype=torch.bool, device=bids.device)
        weights = self.weights(bids[..., None, :, :] * others[..., None])  # [..., N without, N, R]
        return self.mix(weights, answers[..., None, :, :, :])


def _untied(votes: Tensor, probability: Tensor) -> Tensor:
    """``votes [..., R, C]``; of several classes that lead, that of greatest ``probability`` does by a hair."""
    most = votes.amax(-1, keepdim=True)
    lead = (votes > most - _TIE) & (most > 0)
    winner = F.one_hot(probability.masked_fill(~lead, -torch.inf).argmax(-1), votes.shape[-1]) > 0
    first = torch.nextafter(most, torch.ones_like(most))
    return torch.where(winner & (lead.sum(-1, keepdim=True) > 1), first, votes)


def entropy(weights: Tensor) -> Tensor:
    """Entropy of the weights of each sample, in nats, ``[…, R]`` of ``[…, N, R]``; 0 where one member decides."""
    return -torch.special.xlogy(weights, weights).sum(-2)


def disagreement(answers: Tensor, silent: Tensor) -> Tensor:
    """Share of pairs of members with different best classes, ``[…, R]``; 0 where fewer than two speak.

    Args:
        answers: ``[…, N, R, C]``.
        silent: bool ``[…, N, R]``: who has no answer.
    """
    votes = F.one_hot(answers.argmax(-1), answers.shape[-1]) * ~silent[..., None]
    each = votes.sum(-3)  # [..., R, C]: how many chose it
    speak = each.sum(-1)
    alike = (each * (each - 1)).sum(-1)
    return torch.where(speak > 1, 1 - alike / (speak * (speak - 1)).clamp_min(1), 0.0)
