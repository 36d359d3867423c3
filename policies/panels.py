"""Panels: specialists, what they bid, and what they learn; the collective layers as they act in a world.

A panel is an ``nn.Module`` of W independent copies. Inputs are ``[W, R, D]`` where all specialists see the same R
samples, or ``[W, N, R, D]`` where each has a view of its own; answers are distributions ``[W, N, R, C]``, bids
``[W, N, R]``.

| panel | bids | loss |
|---|---|---|
| :class:`Ensemble` | alike, or by confidence | each specialist's own |
| :class:`WeightedEnsemble` | softmax of N learnt numbers | likewise; the numbers learn by what the mixture says |
| :class:`DiverseEnsemble` | alike, or by confidence | own, and the correlation of errors |
| :class:`MixtureOfExperts` | a noisy top-k router's | the mixture's, and the balance loss |
| :class:`SwitchPanel` | a top-1 router's | of the answer sharpened by its gate, balance and z-loss |
| :class:`VotingPanel` | stated confidence | the mixture's |
| :class:`UnifiedPanel` | any of three | the mixture's |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..envs.errors import unknown
from ..envs.validation import real, whole
from ..learners import label_loss, softmax
from .collective import (
    VOTINGS,
    Confidence,
    Experts,
    NoisyTopK,
    Top1,
    UnifiedCollective,
    balance_loss,
    diverse_loss,
    errors,
    grouped,
    predictions,
    raw_z_loss,
    z_loss,
)
from .collective.aggregation import weighted
from .collective.routing import dense_weights

_CORRELATED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"errors": errors, "predictions": predictions}
_Z_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"logsumexp": z_loss, "raw": raw_z_loss}


class Panel(nn.Module):
    """The base: N perceptrons with ReLU, whose bids are their confidences to a power.

    Args:
        specialists: N.
        sizes: Width of the input, of each hidden layer, and classes C.
        key: int64 ``[W]``.
        confidence: Bids are (max p)^confidence; 0 bids alike.
    """

    views: ClassVar[str] = "any"
    """What it can work with: "any" slices, "aligned" ones (the same samples for all), or "shared" inputs."""

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
        if aggregation not in ("mean", "vote"):
            raise unknown("aggregation", str(aggregation), ("mean", "vote"))
        super().__init__(specialists, sizes, key=key, confidence=confidence)


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

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """Own losses, and the mixture's, whose gradient reaches the weights alone."""
        logits = self.logits(x)
        mixed = weighted(softmax(logits.detach()), self.weights.softmax(-1)[:, None])
        return label_loss(logits, labels).sum(-1) + _surprise(mixed, labels[:, 0])


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
        if of not in _CORRELATED:
            raise unknown("thing to correlate", str(of), _CORRELATED)
        super().__init__(specialists, sizes, key=key, confidence=confidence)
        self.weight, self.of = real("weight", weight, 0), _CORRELATED[of]

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """As :func:`~studyhall.policies.collective.diverse_loss`."""
        return diverse_loss(self.logits(x), labels[:, 0].clamp_min(0), weight=self.weight, of=self.of)


class MixtureOfExperts(Panel):
    """Experts behind a noisy top-k router; only those chosen are computed while learning.

    Args:
        specialists: N.
        sizes: As of the base.
        key: As of the base.
        k: Experts consulted on a sample.
        balance: Weight of the balance loss.
        capacity_factor: In learning an expert takes ⌊factor·k·R/N⌋ samples at most, and one at least; None: any
            number, as published.
    """

    views = "shared"

    def __init__(
        self,
        specialists: int,
        sizes: Sequence[int],
        *,
        key: Tensor,
        k: int = 2,
        balance: float = 0.01,
        capacity_factor: float | None = 1.25,
    ) -> None:
        super().__init__(specialists, sizes, key=key)
        self.router: NoisyTopK | Top1 = self.make_router(sizes[0], specialists, k, key)
        self.balance = real("balance", balance, 0)
        self.capacity_factor = (
            None if capacity_factor is None else real("capacity_factor", capacity_factor, 0)
        )
        self.specialists.final = softmax  # so that the weighted sum is one of distributions

    def make_router(self, inputs: int, specialists: int, k: int, key: Tensor) -> NoisyTopK | Top1:
        """Who chooses."""
        return NoisyTopK(inputs, specialists, whole("k", k, 1, specialists), key=key)

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Everyone's answers; bids are the router's gates."""
        return self.specialists.of_all(x), dense_weights(self.router(x)).mT

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """How surprised the mixture is (Jacobs et al., "Adaptive mixtures of local experts", 1991), and the balance."""
        route = self.router(x, key)
        mixed, kept = grouped(self.specialists, x, route.chosen, route.gates, self.capacity(x.shape[1]))
        return self.balance * balance_loss(route.logits, route.chosen) + _surprise(
            mixed, labels[:, 0], kept.any(-1)
        )

    def capacity(self, samples: int) -> int | None:
        """Samples an expert may take, one at least: the rule of :class:`~studyhall.policies.collective.MoE`."""
        if self.capacity_factor is None:
            return None
        return max(1, int(self.capacity_factor * self.router.k * samples / self.specialists.experts))


class SwitchPanel(MixtureOfExperts):
    """One expert a sample, its logits multiplied by the router's probability of it, which so learns to be sure.

    Args:
        specialists: N.
        sizes: As of the base.
        key: As of the base.
        balance: Weight of the balance loss.
        capacity_factor: As of :class:`MixtureOfExperts`.
        z_weight: Weight of the z-loss.
        z_form: Of it: "logsumexp", the mean of logsumexp(logits)², or "raw", the mean of logits², as published.
    """

    def __init__(
        self,
        specialists: int,
        sizes: Sequence[int],
        *,
        key: Tensor,
        balance: float = 0.01,
        capacity_factor: float | None = 1.0,
        z_weight: float = 0.001,
        z_form: str = "logsumexp",
    ) -> None:
        if z_form not in _Z_LOSSES:
            raise unknown("form of the z-loss", str(z_form), _Z_LOSSES)
        super().__init__(specialists, sizes, key=key, k=1, balance=balance, capacity_factor=capacity_factor)
        self.z_weight, self.z_loss = real("z_weight", z_weight, 0), _Z_LOSSES[z_form]
        self.specialists.final = None  # logits: the gate multiplies these

    def make_router(self, inputs: int, specialists: int, k: int, key: Tensor) -> NoisyTopK | Top1:
        """Who chooses."""
        return Top1(inputs, specialists, key=key)

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Everyone's answers as its gate would sharpen them; the likeliest bids."""
        route = self.router(x)
        gates = route.logits.softmax(-1).mT[..., None]
        return softmax(gates * self.specialists.of_all(x)), dense_weights(route).mT

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """Of the answer of the expert chosen, where it had room; balance and z-loss."""
        route = self.router(x)
        mixed, kept = grouped(self.specialists, x, route.chosen, route.gates, self.capacity(x.shape[1]))
        balance = self.balance * balance_loss(route.logits, route.chosen)
        penalty = balance + self.z_weight * self.z_loss(route.logits)
        return penalty + _surprise(softmax(mixed), labels[:, 0], kept.any(-1))


class VotingPanel(Panel):
    """Voters who state how sure they are; the world weighs their answers by it.

    Args:
        specialists: N.
        sizes: As of the base.
        key: As of the base.
        voting: "soft": bids are e^score; "weighted": the logistic function of the score; "hard": alike, and an answer
            counts as a vote for its best class (for worlds of weighting "votes").
    """

    views = "shared"

    def __init__(self, specialists: int, sizes: Sequence[int], *, key: Tensor, voting: str = "soft") -> None:
        if voting not in VOTINGS:
            raise unknown("way of voting", str(voting), VOTINGS)
        super().__init__(specialists, sizes, key=key)
        self.voting = voting
        self.stated = Confidence(sizes[0], specialists, key=key)

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Answers, and the confidences as bids."""
        answers, route = softmax(self.logits(x)), self.stated(x)
        bids = {
            "soft": route.gates,
            "weighted": route.logits.sigmoid(),
            "hard": torch.ones_like(route.gates),
        }[self.voting]
        return answers, bids.mT

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """How surprised the weighted sum is; hard voters learn alone, since a majority has no gradient."""
        if self.voting == "hard":
            return super().loss(x, labels, key)
        answers, route = softmax(self.logits(x)), self.stated(x)
        weights = route.logits.sigmoid() if self.voting == "weighted" else route.gates
        return _surprise(weighted(answers, F.normalize(weights, p=1.0, dim=-1)), labels[:, 0])


class UnifiedPanel(nn.Module):
    """The thesis in one: specialists × weighting ("uniform", "learned", "confidence"), trained on the mixture alone."""

    views: ClassVar[str] = "shared"

    def __init__(
        self,
        specialists: int,
        sizes: Sequence[int],
        *,
        key: Tensor,
        weighting: str = "confidence",
        k: int = 2,
    ) -> None:
        super().__init__()
        layer = UnifiedCollective(
            specialists, sizes, key=key, weighting=weighting, k=k, activation=F.relu, final=softmax
        )
        self.specialists = layer.specialists  # by this name before the layer's own: they learn each by itself
        self.layer = layer

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Everyone's answers, and the weights as bids."""
        return self.specialists.of_all(x), self.layer(x).weights.mT

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """How surprised the weighted sum is."""
        return _surprise(self.layer(x, key).output, labels[:, 0])


PANELS: dict[str, Any] = {
    "ensemble": Ensemble,
    "weighted_ensemble": WeightedEnsemble,
    "diverse_ensemble": DiverseEnsemble,
    "moe": MixtureOfExperts,
    "switch": SwitchPanel,
    "voting": VotingPanel,
    "unified": UnifiedPanel,
}
"""All of them, by the names of their policies."""

AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "diverse_ensemble": {"of": "predictions"},
    "moe": {"capacity_factor": None},
    "switch": {"z_form": "raw"},
}
"""Options with which a panel does what its document does, where that is not what it does without them."""


def _surprise(mixed: Tensor, labels: Tensor, counts: Tensor | None = None) -> Tensor:
    """Mean of −ln p of the labels, ``[W]``.

    Args:
        mixed: Distributions ``[W, R, C]``.
        labels: int64 ``[W, R]``; −1 counts for nothing.
        counts: bool ``[W, R]``: which samples count; None is all.
    """
    counts = (labels >= 0) if counts is None else counts & (labels >= 0)
    right = mixed.gather(-1, labels.clamp_min(0)[..., None]).squeeze(-1)
    return -(right.clamp_min(1e-9).log() * counts).sum(-1) / counts.sum(-1).clamp_min(1)
