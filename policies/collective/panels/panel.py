"""Panels whose specialists learn on their own: ensembles, under equal, learnt or diverse weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....envs.errors import one_of
from ....envs.validation import real
from ....learners import label_loss, softmax
from .. import Experts, diverse_loss, errors, predictions
from ..aggregation import weighted
from .layers import AnyPanel, Bidding, surprise

_CORRELATED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"errors": errors, "predictions": predictions}


class Panel(AnyPanel):
    """The base: N perceptrons with ReLU, whose bids are their confidences to a power.

    Args:
        specialists: N.
        sizes: Width of the input, of each hidden layer, and classes C.
        key: int64 ``[W]``.
        confidence: Bids are (max p)^confidence; 0 bids alike.
    """

    def __init__(
        self, specialists: int, sizes: Sequence[int], *, key: Tensor, confidence: float = 0.0
    ) -> None:
        super().__init__()
        self.specialists = Experts(specialists, sizes, key=key, activation=F.relu)
        self.confidence = real("confidence", confidence, 0)

    def logits(self, x: Tensor) -> Tensor:
        """What each specialist makes of its samples, ``[W, N, R, C]``."""
        if x.dim() == 3:
            return self.specialists.of_all(x)
        return self.specialists.of_rows(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Answers and bids."""
        answers = softmax(self.logits(x))
        return answers, answers.amax(-1) ** self.confidence

    def bidding(self) -> Bidding:
        """As of :class:`AnyPanel`."""
        return Bidding("confidence", {"power": self.confidence})

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """Losses ``[W]`` or ``[W, N]``, means over samples.

        Args:
            x: Inputs.
            labels: int64 ``[W, N, R]``.
            key: int64 ``[W]``, of this step's noise.
        """
        return label_loss(self.logits(x), labels)


class Ensemble(Panel):
    """Specialists that learn alone.

    Args:
        specialists: N.
        sizes: As of the base.
        key: As of the base.
        confidence: As of the base.
        aggregation: "mean", or "vote": an answer counts as a vote for its best class (for worlds of weighting "votes").
    """

    def __init__(
        self,
        specialists: int,
        sizes: Sequence[int],
        *,
        key: Tensor,
        confidence: float = 0.0,
        aggregation: str = "mean",
    ) -> None:
        one_of("aggregation", aggregation, ("mean", "vote"))
        super().__init__(specialists, sizes, key=key, confidence=confidence)
        self.weighting = "votes" if aggregation == "vote" else None


class WeightedEnsemble(Panel):
    """Specialists that learn alone, under weights that learn by what they say together."""

    views = "aligned"

    def __init__(self, specialists: int, sizes: Sequence[int], *, key: Tensor) -> None:
        super().__init__(specialists, sizes, key=key)
        self.weights = nn.Parameter(torch.zeros(*key.shape, specialists, device=key.device))

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As the base, with the learnt weights as bids."""
        answers, _ = super().opinions(x)
        return answers, self.weights.softmax(-1)[..., None].expand(answers.shape[:-1])

    def bidding(self) -> Bidding:
        """As of :class:`AnyPanel`."""
        return Bidding("learned", by=self.weights)

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """Own losses, and the mixture's, whose gradient reaches the weights alone."""
        logits = self.logits(x)
        mixed = weighted(softmax(logits.detach()), self.weights.softmax(-1)[:, None])
        return label_loss(logits, labels).sum(-1) + surprise(mixed, labels[:, 0])


class DiverseEnsemble(Panel):
    """Negative correlation learning: own losses + ``weight`` × mean pairwise correlation.

    Args:
        specialists: N.
        sizes: As of the base.
        key: As of the base.
        confidence: As of the base.
        weight: Of the correlation.
        of: What is correlated: "errors", or "predictions", which share what is right.
    """

    views = "aligned"

    def __init__(
        self,
        specialists: int,
        sizes: Sequence[int],
        *,
        key: Tensor,
        confidence: float = 0.0,
        weight: float = 0.1,
        of: str = "errors",
    ) -> None:
        one_of("thing to correlate", of, _CORRELATED)
        super().__init__(specialists, sizes, key=key, confidence=confidence)
        self.weight, self.of = real("weight", weight, 0), _CORRELATED[of]

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """As :func:`~studyhall.policies.collective.diverse_loss`."""
        return diverse_loss(self.logits(x), labels[:, 0].clamp_min(0), weight=self.weight, of=self.of)
