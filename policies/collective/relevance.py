"""Relevance: a few specialists score tokens, and a router says whose score counts for which token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...envs.errors import ConfigError
from .dispatch import grouped
from .experts import Experts, flatten
from .routing import TopK, dense_weights

SCORERS = ("face", "text", "object", "scene")
"""The document's four."""


class Relevance(NamedTuple):
    """How relevant tokens are, and to whom."""

    score: Tensor
    """``[*copies, *batch]``, in [0, 1]."""
    weights: Tensor
    """``[*copies, *batch, E]``: of each scorer, zero for those not asked."""
    dominant: Tensor
    """int64 ``[*copies, *batch]``: the scorer with the greatest weight on this token."""


class RelevanceRouter(nn.Module):
    """Score = Σ weight · scorer(token), over the k scorers that the router thinks fit, renormalised.

    Scorers are Linear–GELU–Linear–sigmoid. What they are named after is up to their training.

    Args:
        inputs: Width of a token.
        hidden: Width of a scorer's hidden layer.
        key: int64 ``[*copies]``, one independent layer for each; or a seed, for one.
        scorers: Their names, in order.
        k: Scorers asked for each token.

    Raises:
        ConfigError: A number out of range, or scorers that are not told apart.
    """

    def __init__(
        self, inputs: int, hidden: int, *, key: Tensor | int, scorers: Sequence[str] = SCORERS, k: int = 2
    ) -> None:
        super().__init__()
        self.names = tuple(scorers)
        if not self.names or len(set(self.names)) < len(self.names):
            raise ConfigError(f"scorers must be one or more different names, got {list(scorers)}")
        self.scorers = Experts(len(self.names), (inputs, hidden, 1), key=key, final=torch.sigmoid)
        self.router = TopK(inputs, len(self.names), k, key=key)

    def forward(self, x: Tensor) -> Relevance:
        """Score tokens ``[*copies, *batch, in]``."""
        copies = self.scorers.copies
        rows, batch = flatten(x, copies, self.scorers.sizes[0])
        route = self.router(rows)
        score, _ = grouped(self.scorers, rows, route.chosen, route.gates, None)
        weights = dense_weights(route).view(*copies, *batch, -1)
        return Relevance(score.view(copies + batch), weights, weights.argmax(-1))
