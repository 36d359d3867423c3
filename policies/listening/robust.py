"""Robust statistics instead of a mean: rules made for a minority of sources that say anything at all.

They know nothing of the past and take sources as equals, so they guard against outliers, not against being
a layman among laymen: where one source knows a class and the others do not, the expert is the outlier.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.exam import distributions
from ...envs.validation import whole
from .rule import Rule, Talk, pick
from .weights import Weighted


class CoordinateMedian(Rule):
    """Imitate the median of each probability over the sources heard, divided by the sum of the medians.

    The coordinate-wise median of Yin et al., "Byzantine-robust distributed learning" (ICML 2018,
    definition 1), on messages instead of gradients; the mean of the middle two where their number is even.
    """

    def targets(self, talk: Talk) -> Tensor:
        """The renormalised median; a row whose medians are all zero is not imitated."""
        ordered, count = _in_order(talk)
        middle = torch.stack([(count - 1) // 2, count // 2], dim=2).clamp_min(0)  # [W, N, 2, B]
        index = middle[..., None].expand(-1, -1, -1, -1, ordered.shape[-1])
        median = ordered.gather(2, index).mean(2)
        return distributions(torch.where((count > 0)[..., None], median, 0.0))[0]


class TrimmedMean(Rule):
    """Imitate the mean of each probability without its largest and smallest values, renormalised.

    The coordinate-wise trimmed mean of Yin et al. (ICML 2018, definition 2). Where too few sources are heard
    to trim that many, as many are trimmed as leave one or two.

    Args:
        trim: Values dropped at each end.
    """

    def __init__(self, trim: int = 1) -> None:
        self.trim = whole("trim", trim, 0)

    def targets(self, talk: Talk) -> Tensor:
        """The renormalised trimmed mean."""
        ordered, count = _in_order(talk)
        trim = ((count - 1) // 2).clamp(0, self.trim)[:, :, None]  # [W, N, 1, B]
        rank = torch.arange(ordered.shape[2], device=ordered.device)[:, None]
        kept = (rank >= trim) & (rank < count[:, :, None] - trim)  # [W, N, S, B]
        return distributions(torch.where(kept[..., None], ordered, 0.0).sum(2))[0]


def _in_order(talk: Talk) -> tuple[Tensor, Tensor]:
    """Probabilities in ascending order along S, silent sources last, and how many spoke, ``[W, N, B]``."""
    ordered = talk.rows.masked_fill(~talk.spoke[..., None], torch.inf).sort(dim=2).values
    return ordered, talk.spoke.sum(2)


class Krum(Weighted):
    """Imitate the one source whose message lies closest to its nearest neighbours among the others.

    Blanchard et al., "Machine learning with adversaries" (NeurIPS 2017, §4): of n messages, flattened, the
    one with the least sum of squared distances to its n − f − 2 nearest; at least one neighbour counts, where
    there is any. Their guarantee wants 2f + 2 < n; with fewer sources this is a heuristic.

    Args:
        f: Liars to withstand.
    """

    def __init__(self, f: int = 1) -> None:
        self.f = whole("f (liars to withstand)", f, 0)

    def weights(self, talk: Talk) -> Tensor:
        """One-hot."""
        heard, flat = talk.heard, talk.rows.flatten(3)
        sources = flat.shape[2]
        distance = (flat[:, :, :, None] - flat[:, :, None]).square().sum(-1)  # [W, N, S, S]
        itself = torch.eye(sources, dtype=torch.bool, device=flat.device)
        distance = distance.masked_fill(~heard[:, :, None] | itself, torch.inf).sort(dim=-1).values
        heard_count = heard.sum(-1)
        neighbours = (heard_count - self.f - 2).clamp_min(1).minimum(heard_count - 1)
        rank = torch.arange(sources, device=flat.device)
        near = torch.where(rank < neighbours[..., None, None], distance, 0.0)
        return pick(-near.sum(-1), heard)
