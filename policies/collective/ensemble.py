"""Ensembles: members that learn alone and answer together, and a loss that keeps their errors apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...envs.errors import one_of
from ...envs.validation import real
from ...learners import softmax
from . import aggregation as by
from .experts import Activation, Experts, flatten
from .routing import average

AGGREGATIONS = ("mean", "vote", "weighted")


class Opinion(NamedTuple):
    """What an ensemble says."""

    answer: Tensor
    """Class distributions ``[*copies, *batch, C]``."""
    uncertainty: Tensor
    """Variance of the probabilities across members, averaged over classes, ``[*copies, *batch]``."""
    logits: Tensor
    """Of the members, ``[*copies, E, *batch, C]``."""


class Ensemble(nn.Module):
    """E perceptrons and one answer.

    Args:
        members: E.
        sizes: Width of the input, of each hidden layer, and classes C.
        key: int64 ``[*copies]``, one independent ensemble for each; or a seed, for one.
        aggregation: "mean" of the probabilities, majority "vote" (ties go to the greatest summed probability), or
            "weighted": by the softmax of learnable weights, equal at first.
        activation: Of the members.

    Raises:
        UnknownName: No such aggregation.
        ConfigError: A size or number out of range.
    """

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        *,
        key: Tensor | int,
        aggregation: str = "mean",
        activation: Activation = F.relu,
    ) -> None:
        super().__init__()
        one_of("aggregation", aggregation, AGGREGATIONS)
        self.aggregation = aggregation
        self.members = Experts(members, sizes, key=key, activation=activation)
        if aggregation == "weighted":
            like = self.members.biases[0]
            self.weights = nn.Parameter(torch.zeros(like.shape[:-1], device=like.device))

    def forward(self, x: Tensor) -> Opinion:
        """Answer ``[*copies, *batch, in]``."""
        rows, batch = flatten(x, self.members.copies, self.members.sizes[0])
        logits = self.members.of_all(rows)
        probs = softmax(logits)
        lead = self.members.copies
        return Opinion(
            self.aggregate(probs).view(*lead, *batch, -1),
            by.variance(probs).view(lead + batch),
            logits.view(*lead, self.members.experts, *batch, -1),
        )

    def aggregate(self, probs: Tensor) -> Tensor:
        """From members ``[S, E, M, C]`` to the ensemble ``[S, M, C]``, S copies in all."""
        if self.aggregation == "weighted":
            weights = self.weights.softmax(-1).view(-1, 1, self.members.experts)
            return by.weighted(probs, weights)
        return {"mean": by.mean, "vote": by.vote}[self.aggregation](probs)


Spoken = Callable[[Tensor, Tensor], Tensor]
"""From probabilities ``[…, E, M, C]`` and labels ``[…, M]`` to what is correlated, ``[…, E, M, C]``."""


def errors(probs: Tensor, labels: Tensor) -> Tensor:
    """What the members get wrong: probabilities − one-hot labels."""
    return probs - F.one_hot(labels, probs.shape[-1]).unsqueeze(-3)


def predictions(probs: Tensor, labels: Tensor) -> Tensor:
    """What the members say, right or wrong."""
    return probs


DIVERSE_AS_PUBLISHED: dict[str, Any] = {"of": predictions}
"""The document correlates predictions. These share what is right, so the term also pushes members off the truth."""


def mean_correlation(values: Tensor) -> Tensor:
    """Mean over pairs of members of the correlation of their values, each centred by its own mean.

    Args:
        values: ``[…, E, M, C]``.

    Returns:
        ``[…]``, in [−1, 1]; 0 for a single member, and for pairs one of which does not vary.
    """
    flat = values.flatten(-2)
    unit = F.normalize(flat - flat.mean(-1, keepdim=True), dim=-1)
    members = unit.shape[-2]
    # Σ over i ≠ j of uᵢ·uⱼ is |Σᵢ uᵢ|² − Σᵢ |uᵢ|².
    pairs = unit.sum(-2).square().sum(-1) - unit.square().sum((-2, -1))
    return pairs / max(members * (members - 1), 1)


def diverse_loss(logits: Tensor, labels: Tensor, *, weight: float = 0.1, of: Spoken = errors) -> Tensor:
    """Each member's cross-entropy + ``weight`` × the mean pairwise correlation (negative correlation learning).

    After Liu & Yao, "Ensemble learning via negative correlation" (1999).

    Args:
        logits: ``[…, E, M, C]``.
        labels: int64 ``[…, M]``.
        weight: Of the correlation.
        of: What is correlated: :func:`errors`, or :func:`predictions` as published.

    Returns:
        ``[…, E]``: one loss a member, the mean over samples.

    Raises:
        ConfigError: A negative weight.
    """
    said = logits.log_softmax(-1)
    true = labels.unsqueeze(-2).expand(logits.shape[:-1])
    task = -average(said.gather(-1, true[..., None]).squeeze(-1), -1)
    if not real("weight", weight, 0):
        return task
    return task + weight * mean_correlation(of(said.exp(), labels)).unsqueeze(-1)
