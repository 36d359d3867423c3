"""Rules that weigh sources and imitate their weighted mean."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ...envs.engine import rng
from ...envs.exam import distributions
from ...envs.mixing import weighted_sum
from .rule import Rule, Talk, overlap, pick


class Weighted(Rule):
    """Imitate Σ w·p / Σ w over the sources that spoke of a row; Σ w = 0 is not imitated."""

    @abstractmethod
    def weights(self, talk: Talk) -> Tensor:
        """Weights ≥ 0 of the sources, ``[W, N, S]``, or of their rows, ``[W, N, S, B]``."""

    def targets(self, talk: Talk) -> Tensor:
        """The weighted mean, ``[W, N, B, C]``."""
        weights = self.weights(talk)
        if weights.dim() == 3:
            weights = weights[..., None]
        return distributions(weighted_sum(weights, talk.rows))[0]


class Nobody(Rule):
    """Imitate nobody: learn from labels alone, the control of every other rule."""

    def targets(self, talk: Talk) -> Tensor:
        """All zero."""
        return torch.zeros_like(talk.own)


class RandomSource(Weighted):
    """Imitate one source heard, drawn anew at each step for each agent."""

    def weights(self, talk: Talk) -> Tensor:
        """One-hot."""
        key = rng.fold(self.world.keys, self.world.steps)
        return pick(rng.draw(key, "policy/source", talk.heard.shape[1:]).uniform(), talk.heard)


class Mean(Weighted):
    """Imitate the plain mean of all sources heard (ensemble distillation: Hinton, Vinyals & Dean, 2015)."""

    def weights(self, talk: Talk) -> Tensor:
        """All one."""
        return talk.heard.float()


class MostConfidentSlice(Weighted):
    """Imitate the source whose largest probability, averaged over the slice, is highest."""

    def weights(self, talk: Talk) -> Tensor:
        """One-hot."""
        return pick(talk.row_mean(talk.confidence), talk.heard)


class MostConfidentSample(Weighted):
    """Imitate, row by row, the source whose largest probability is highest."""

    def weights(self, talk: Talk) -> Tensor:
        """One-hot for each row, ``[W, N, S, B]``."""
        return pick(talk.confidence, talk.spoke)


class DropMostConfident(Weighted):
    """Imitate the mean without the source that is most confident on the slice; a lone source is kept."""

    def weights(self, talk: Talk) -> Tensor:
        """One for all but one."""
        heard = talk.heard.float()
        alone = heard.sum(-1, keepdim=True) <= 1
        dropped = pick(talk.row_mean(talk.confidence), talk.heard)
        return torch.where(alone, heard, heard - dropped)


class BestCard(Weighted):
    """Imitate the source heard with the best report card."""

    def weights(self, talk: Talk) -> Tensor:
        """One-hot."""
        return pick(talk.cards, talk.heard)


class BetterCard(BestCard):
    """Imitate the source heard with the best report card, unless it is no better than one's own.

    Who is the best imitates nobody: the labels behind the cards are what the class learns from, and a class in which
    the best follows others, too, has no more than an average to follow.
    """

    def weights(self, talk: Talk) -> Tensor:
        """One-hot, for those who are not the best themselves."""
        best = super().weights(talk)
        follows = (best * talk.cards).sum(-1) > talk.report[..., 0]
        return best * follows[..., None]


class TwoPhase(BetterCard):
    """First the teacher, then the best student teaches the others (the documented classroom).

    While the teacher's budget lasts, learn from labels alone; then imitate the source with the best report
    card, unless no card is better than one's own. A world without a teacher to ask, or whose labels never run out,
    is in the second phase from the start.
    """

    def weights(self, talk: Talk) -> Tensor:
        """One-hot in the second phase, for those who are not the best themselves."""
        weights = super().weights(talk)
        if self.world.budget_fraction() is None:
            return weights
        return weights * (talk.report[..., 1] <= 0)[..., None]


class Agreement(Weighted):
    """Imitate the source that agrees most with the mean of the others heard and oneself.

    Agreement is Σ min(p, q), the mean over rows: the soft form of picking the source that the plurality
    backs.
    """

    def weights(self, talk: Talk) -> Tensor:
        """One-hot."""
        return pick(talk.row_mean(overlap(talk.rows, talk.others())), talk.heard)
