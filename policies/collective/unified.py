"""The thesis in one layer: y = Σ wᵢ(x)·fᵢ(x), for any specialists f and any way w to weigh them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ...envs.errors import one_of
from . import aggregation as by
from .dispatch import grouped
from .experts import Activation, Experts, flatten
from .routing import Confidence, NoisyTopK, Uniform, dense_weights

WEIGHTINGS = ("uniform", "learned", "confidence")


class Sum(NamedTuple):
    """A weighted sum, and its weights."""

    output: Tensor
    """``[*copies, *batch, out]``."""
    weights: Tensor
    """``[*copies, *batch, E]``; zero where a specialist was not asked, and cost nothing."""


class UnifiedCollective(nn.Module):
    """Specialists × weighting; with the same key it is, bit for bit, one of the other layers.

    | weighting | w | with | is |
    |---|---|---|---|
    | "uniform" | 1/n | ReLU, softmax | ``Ensemble``, aggregation "mean" |
    | "learned" | noisy top-k router | GELU, no ``final`` | ``MoE`` in evaluation mode, or without a capacity |
    | "confidence" | softmax of stated confidences | ReLU, softmax | ``VotingLayer``, voting "soft" |

    The softmax is :func:`studyhall.learners.softmax`; PyTorch's over the last dimension may differ in the last bit.

    Args:
        specialists: n.
        sizes: Width of the input, of each hidden layer, and of the output.
        key: int64 ``[*copies]``, one independent collective for each; or a seed, for one.
        weighting: "uniform", "learned" or "confidence".
        k: Specialists asked for each sample, where the weighting is learned.
        activation: Of the specialists' hidden layers.
        final: After the last one; None leaves it linear.

    Raises:
        UnknownName: No such weighting.
        ConfigError: A size or number out of range.
    """

    def __init__(
        self,
        specialists: int,
        sizes: Sequence[int],
        *,
        key: Tensor | int,
        weighting: str = "uniform",
        k: int = 2,
        activation: Activation = F.gelu,
        final: Activation | None = None,
    ) -> None:
        super().__init__()
        one_of("weighting", weighting, WEIGHTINGS)
        self.specialists = Experts(specialists, sizes, key=key, activation=activation, final=final)
        self.weighting: NoisyTopK | Uniform | Confidence
        if weighting == "learned":
            self.weighting = NoisyTopK(self.specialists.sizes[0], specialists, k, key=key)
        else:
            kind = Uniform if weighting == "uniform" else Confidence
            self.weighting = kind(self.specialists.sizes[0], specialists, key=key)

    def forward(self, x: Tensor, key: Tensor | int | None = None) -> Sum:
        """The weighted sum.

        Args:
            x: ``[*copies, *batch, in]``.
            key: Of a learned weighting's noise, as of ``MoE``: needed in training mode, without effect in evaluation.

        Raises:
            ConfigError: No key for a learned weighting in training mode, or inputs or a key of another shape.
        """
        copies = self.specialists.copies
        rows, batch = flatten(x, copies, self.specialists.sizes[0])
        route = self.weighting(rows, key)
        if isinstance(self.weighting, NoisyTopK):
            output, _ = grouped(self.specialists, rows, route.chosen, route.gates, None)
        else:
            output = by.weighted(self.specialists.of_all(rows), dense_weights(route))
        return Sum(output.view(*copies, *batch, -1), dense_weights(route).view(*copies, *batch, -1))

    def weights(self, rows: Tensor) -> Tensor:
        """Of the specialists, without noise, ``[S, M, E]``, for inputs ``[S, M, in]``."""
        weighting = self.weighting
        return dense_weights(weighting.quiet(rows) if isinstance(weighting, NoisyTopK) else weighting(rows))
