"""Panels that are collective layers: they learn as the layer does, and act by what weighs its specialists.

What a world makes of their answers and bids, Σ w·f, is what the layer says. They need inputs that all specialists
share; see :mod:`~studyhall.policies.collective.panels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....envs.errors import one_of
from ....learners import label_loss, softmax
from .. import Experts, MoE, Switch, UnifiedCollective, VotingLayer, raw_z_loss, z_loss
from ..alone import Collective
from ..routing import Confidence, Linear, NoisyTopK, dense_weights

_Z_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"logsumexp": z_loss, "raw": raw_z_loss}


class Bidding(NamedTuple):
    """How a panel bids."""

    kind: str
    options: Mapping[str, Any] = {}
    by: Linear | Tensor | None = None
    """What was learnt to bid."""


class AnyPanel(nn.Module):
    """What every panel asks of a world."""

    specialists: Experts
    views: ClassVar[str] = "any"
    """What it can work with: "any" slices, "aligned" ones (the same samples for all), or "shared" inputs."""
    weighting: str | None = None
    """The weighting without which the world's answer is not the panel's; None: any is a collective of its own."""
    consults: int = 1
    """How many bids on a sample the world must hear at least, where it hears the k highest."""

    def bidding(self) -> Bidding:
        """How it bids, as :class:`~studyhall.policies.collective.alone.Collective` has it."""
        return Bidding("confidence")

    def alone(self, copy: int) -> tuple[Collective, dict[str, Any]]:
        """One copy as an ordinary module, in evaluation mode, and the arguments of its class."""
        bidding = self.bidding()
        made_with = {
            "specialists": self.specialists.experts,
            "sizes": list(self.specialists.sizes),
            "bids": bidding.kind,
            **bidding.options,
        }
        weights = {f"specialists.{name}": value for name, value in self.specialists.alone(copy).items()}
        if isinstance(bidding.by, Linear):
            weights |= {f"gate.{name}": value for name, value in bidding.by.alone(copy).items()}
            made_with["bias"] = bidding.by.bias is not None
        elif bidding.by is not None:
            weights["weights"] = bidding.by.detach()[copy]
        module = Collective(**made_with)
        module.load_state_dict(weights)
        return module.eval(), made_with


class LayerPanel(AnyPanel):
    """The base of panels that are a collective layer: it learns as that, and bids what weighs its specialists there.

    Args:
        layer: Of W copies.
        specialists: Its own.
    """

    views = "shared"

    def __init__(self, layer: nn.Module, specialists: Experts) -> None:
        super().__init__()
        self.specialists = specialists
        self.layer = layer


class MixtureOfExperts(LayerPanel):
    """Experts behind a noisy top-k router; only those chosen are computed while learning.

    Args:
        specialists: N.
        sizes: As of :class:`~studyhall.policies.collective.panels.Panel`.
        key: As of :class:`~studyhall.policies.collective.panels.Panel`.
        k: Experts consulted on a sample.
        balance: Weight of the balance loss.
        capacity_factor: In learning an expert takes ⌊factor·k·R/N⌋ samples at most, and one at least; None: any
            number, as published.
    """

    layer: MoE

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
        layer = MoE(
            sizes[0],
            sizes[1:-1],
            sizes[-1],
            key=key,
            experts=specialists,
            k=k,
            capacity_factor=capacity_factor,
            balance=balance,
            activation=F.relu,
            final=softmax,  # so that the weighted sum is one of distributions
        )
        super().__init__(layer, layer.experts)
        self.consults = layer.router.k

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Everyone's answers; bids are the router's gates."""
        return self.specialists.of_all(x), dense_weights(self.layer.router.quiet(x)).mT

    def bidding(self) -> Bidding:
        """As of :class:`AnyPanel`."""
        return Bidding("top_k", {"k": self.layer.router.k}, self.layer.router.gate)

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """How surprised the mixture is (Jacobs et al., "Adaptive mixtures of local experts", 1991), and the balance."""
        mixed = self.layer(x, key)
        return mixed.loss + surprise(mixed.output, labels[:, 0], mixed.load.kept.any(-1))


class SwitchPanel(LayerPanel):
    """One expert a sample, its logits multiplied by the router's probability of it, which so learns to be sure.

    Args:
        specialists: N.
        sizes: As of :class:`~studyhall.policies.collective.panels.Panel`.
        key: As of :class:`~studyhall.policies.collective.panels.Panel`.
        balance: Weight of the balance loss.
        capacity_factor: As of :class:`MixtureOfExperts`.
        z_weight: Weight of the z-loss.
        z_form: Of it: "logsumexp", the mean of logsumexp(logits)², or "raw", the mean of logits², as published.
    """

    layer: Switch

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
        one_of("form of the z-loss", z_form, _Z_LOSSES)
        layer = Switch(
            sizes[0],
            sizes[1:-1],
            sizes[-1],
            key=key,
            experts=specialists,
            capacity_factor=capacity_factor,
            balance=balance,
            z_weight=z_weight,
            z_penalty=_Z_LOSSES[z_form],
            activation=F.relu,
        )
        super().__init__(layer, layer.experts)

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Everyone's answers as its gate would sharpen them; the likeliest bids."""
        route = self.layer.router(x)
        gates = softmax(route.logits).mT[..., None]
        return softmax(gates * self.specialists.of_all(x)), dense_weights(route).mT

    def bidding(self) -> Bidding:
        """As of :class:`AnyPanel`."""
        return Bidding("switch", by=self.layer.router.gate)  # type: ignore[arg-type]

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """Of the answer of the expert chosen, where it had room; balance and z-loss."""
        mixed = self.layer(x)
        return mixed.loss + surprise(softmax(mixed.output), labels[:, 0], mixed.load.kept.any(-1))


class VotingPanel(LayerPanel):
    """Voters who state how sure they are; the world weighs their answers by it.

    Args:
        specialists: N.
        sizes: As of :class:`~studyhall.policies.collective.panels.Panel`.
        key: As of :class:`~studyhall.policies.collective.panels.Panel`.
        voting: "soft": bids are the softmax of the scores; "weighted": in proportion to their logistic function;
            "hard": alike, and an answer counts as a vote for its best class (for worlds of weighting "votes").
    """

    layer: VotingLayer

    def __init__(self, specialists: int, sizes: Sequence[int], *, key: Tensor, voting: str = "soft") -> None:
        layer = VotingLayer(sizes[0], sizes[1:-1], sizes[-1], key=key, voters=specialists, voting=voting)
        super().__init__(layer, layer.voters)
        self.weighting = "votes" if voting == "hard" else None

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Answers, and the confidences as bids."""
        answers = softmax(self.specialists.of_all(x))
        if self.layer.voting == "hard":
            return answers, torch.ones_like(answers[..., 0])
        return answers, self.layer.weights(x).mT

    def bidding(self) -> Bidding:
        """As of :class:`AnyPanel`."""
        if self.layer.voting == "hard":
            return super().bidding()
        kind = "softmax" if self.layer.voting == "soft" else "logistic"
        return Bidding(kind, by=self.layer.confidence.state)

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """How surprised the weighted sum is; hard voters learn alone, since a majority has no gradient."""
        if self.layer.voting == "hard":
            return label_loss(self.specialists.of_all(x), labels)
        return surprise(self.layer(x), labels[:, 0])


class UnifiedPanel(LayerPanel):
    """The thesis in one: specialists × weighting ("uniform", "learned", "confidence"), trained on the mixture alone."""

    layer: UnifiedCollective

    def __init__(
        self,
        specialists: int,
        sizes: Sequence[int],
        *,
        key: Tensor,
        weighting: str = "confidence",
        k: int = 2,
    ) -> None:
        layer = UnifiedCollective(
            specialists, sizes, key=key, weighting=weighting, k=k, activation=F.relu, final=softmax
        )
        super().__init__(layer, layer.specialists)
        self.consults = k if weighting == "learned" else 1

    def opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Everyone's answers, and the weights as bids."""
        return self.specialists.of_all(x), self.layer.weights(x).mT

    def bidding(self) -> Bidding:
        """As of :class:`AnyPanel`."""
        weighting = self.layer.weighting
        if isinstance(weighting, NoisyTopK):
            return Bidding("top_k", {"k": weighting.k}, weighting.gate)
        if isinstance(weighting, Confidence):
            return Bidding("softmax", by=weighting.state)
        return Bidding("uniform")

    def loss(self, x: Tensor, labels: Tensor, key: Tensor) -> Tensor:
        """How surprised the weighted sum is."""
        return surprise(self.layer(x, key).output, labels[:, 0])


def surprise(mixed: Tensor, labels: Tensor, counts: Tensor | None = None) -> Tensor:
    """Mean of −ln p of the labels, ``[W]``.

    Args:
        mixed: Distributions ``[W, R, C]``.
        labels: int64 ``[W, R]``; −1 counts for nothing.
        counts: bool ``[W, R]``: which samples count; None is all.
    """
    counts = (labels >= 0) if counts is None else counts & (labels >= 0)
    right = mixed.gather(-1, labels.clamp_min(0)[..., None]).squeeze(-1)
    return -(right.clamp_min(1e-9).log() * counts).sum(-1) / counts.sum(-1).clamp_min(1)
