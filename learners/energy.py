"""Free energy: how foreign a sample is to a network, by its logits alone.

``F(x) = −logsumexp z(x)`` (Liu et al., NeurIPS 2020, at T = 1) is low where some logit is high. Two ways to give it a
meaning that networks share:

* *alignment* draws it to one anchor A on the samples that a network is taught: ``mean((F − A)²)``;
* *detection* also draws the line: g = A − F is trained to tell one's own classes from the rest. One's own labelled
  samples are positive, samples of all classes are unlabelled, and the share of one's own among these, the prior π, is
  known. The loss is the non-negative risk of Kiryo et al. (NeurIPS 2017) with ℓ(g) = log(1 + exp(−g)):

  ``π·mean_own ℓ(g) + max(0, mean_unlabelled ℓ(−g) − π·mean_own ℓ(−g))``
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ANCHOR = -5.0
"""A: the energy of what is one's own, and where :func:`detection` draws the line."""


def free_energy(logits: Tensor) -> Tensor:
    """F of logits ``[…, B, C]``, ``[…, B]``."""
    # Classes before rows, as learners give them: over a last dimension of ten it takes twenty times as long.
    return -logits.mT.logsumexp(-2)


def alignment(energies: Tensor, rows: Tensor) -> Tensor:
    """Mean squared distance of energies to the anchor.

    Args:
        energies: ``[W, N, B]``.
        rows: ``[W, N, B]``, weights of the rows that count.

    Returns:
        ``[W, N]``; 0 where no row counts.
    """
    return mean((energies - ANCHOR).square(), rows)


def detection(own: Tensor, rows: Tensor, unlabelled: Tensor, others: Tensor, prior: Tensor) -> Tensor:
    """Non-negative positive-unlabelled risk of g = A − F as a detector of one's own.

    Args:
        own: Energies of one's own samples, ``[W, N, B]``.
        rows: ``[W, N, B]``, weights of those that count.
        unlabelled: Energies of samples of all classes, ``[W, N, B]``.
        others: ``[W, N, B]`` or ``[W, 1, B]``, weights of those that count.
        prior: π, the share of one's own among these, ``[W, N]``.

    Returns:
        ``[W, N]``; 0 where none of one's own counts.
    """
    found = prior * mean(F.softplus(own - ANCHOR), rows)
    refused = _refused(own, rows, unlabelled, others, prior)
    return (found + refused.clamp_min(0.0)) * (rows.sum(-1) > 0)


def detection_slopes(
    own: Tensor, rows: Tensor, unlabelled: Tensor, others: Tensor, prior: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`detection` in ``own`` and in ``unlabelled``, ``[W, N, B]``; arguments are the same.

    With g = A − F these are π·w·σ(−g) and 0 where the second term is cut off, elsewhere π·w, since
    σ(g) + σ(−g) = 1, and −w·σ(g); w are the weights of rows divided by their sum.
    """
    counts = (_refused(own, rows, unlabelled, others, prior) >= 0.0)[..., None]
    total = rows.sum(-1, keepdim=True)
    share = prior[..., None] * rows / total.clamp_min(1e-9)
    refuses = others / others.sum(-1, keepdim=True).clamp_min(1e-9) * (counts & (total > 0))
    found = share * torch.where(counts, 1.0, (own - ANCHOR).sigmoid())
    return found, -(ANCHOR - unlabelled).sigmoid() * refuses


def _refused(own: Tensor, rows: Tensor, unlabelled: Tensor, others: Tensor, prior: Tensor) -> Tensor:
    """The risk of taking others' for one's own, ``[W, N]``: below 0 where too few samples say otherwise."""
    return mean(F.softplus(ANCHOR - unlabelled), others) - prior * mean(F.softplus(ANCHOR - own), rows)


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the last dimension; 0 where there is no weight."""
    return (values * weights).sum(-1) / weights.sum(-1).clamp_min(1e-9)
