"""Answers of witnesses and listeners, and how they are judged: classes, or vectors.

Formulas, for one row:

* a distribution p over C classes against class y: loss −ln p_y, of p_y = 10⁻³⁰ at least; score
  1 − ½·Σ_c (p_c − 1[c = y])² (`exam.py`);
* a vector v against the truth x of D standard normal numbers: loss Σ_d (v_d − x_d)² / D, score 1 − loss, which is 0
  for the vector of zeros, the best that knows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..engine.finite import surely_none, where_finite
from ..engine.weights import Weights
from ..exam import distributions

_LEAST = 1e-30  # probability whose logarithm is still taken

BOUND = 10.0
"""Greatest number of an answered vector: no truth lies beyond 6.7, since normals are made of 32 random bits."""


@dataclass(frozen=True)
class Classes:
    """One class of ``count``."""

    count: int

    @property
    def chance(self) -> float:
        """Score of a uniform answer."""
        return 0.5 + 0.5 / self.count

    def space(self, rows: int) -> spaces.Space:
        """Weights of the classes."""
        return Weights(rows, self.count)

    def choices(self, rows: int) -> spaces.Space:
        """One class, as a whole number."""
        return spaces.MultiDiscrete(np.full(rows, self.count))

    def readable(self, answer: Tensor) -> Tensor:
        """Distributions ``[..., C]``, uniform where there is none to read."""
        if not answer.is_floating_point():
            answer = (answer[..., None] == torch.arange(self.count, device=answer.device)).float()
        weights, abstained = distributions(answer)
        return (
            weights if surely_none(abstained) else weights.masked_fill(abstained[..., None], 1 / self.count)
        )

    def unanswered(self, device: torch.device) -> Tensor:
        """The uniform distribution, ``[C]``."""
        return torch.full((self.count,), 1 / self.count, device=device)

    def judge(self, answer: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and score ``[W, N]`` of distributions ``[W, N, B, C]`` on classes int64 ``[W, N, B]``."""
        right = answer.gather(-1, truth[..., None])[..., 0]
        score = 0.5 + right - 0.5 * answer.square().sum(-1)
        return -right.clamp_min(_LEAST).log().mean(-1), score.mean(-1)

    def figures(self, answer: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Accuracy ``[W, N]``; where k classes share the greatest weight, the right one among them counts 1/k."""
        return {"accuracy": expected_right(answer, truth).mean(-1)}


@dataclass(frozen=True)
class Vectors:
    """``count`` real numbers, standard normal beforehand; what is beyond ±:data:`BOUND` counts as the bound."""

    count: int
    chance: float = 0.0

    def space(self, rows: int) -> spaces.Space:
        """The numbers."""
        return spaces.Box(-BOUND, BOUND, (rows, self.count), np.float32)

    def readable(self, answer: Tensor) -> Tensor:
        """Vectors ``[..., D]``, zeros where there is none to read."""
        return where_finite(answer, 1, 0.0).clamp(-BOUND, BOUND)

    def unanswered(self, device: torch.device) -> Tensor:
        """Zeros, ``[D]``."""
        return torch.zeros(self.count, device=device)

    def judge(self, answer: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and score ``[W, N]`` of vectors ``[W, N, B, D]`` on truths of the same shape."""
        loss = (answer - truth).square().mean((-1, -2))
        return loss, 1 - loss

    def figures(self, answer: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Nothing besides the loss."""
        return {}


Answers = Classes | Vectors
"""What an answer says."""


def expected_right(weights: Tensor, truth: Tensor) -> Tensor:
    """Chance ``[...]`` that one of the greatest weights ``[..., C]``, taken blindly, is that of the class."""
    best = weights == weights.amax(-1, keepdim=True)
    return best.gather(-1, truth[..., None])[..., 0] / best.sum(-1)
