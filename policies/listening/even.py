"""Rules that spread a teacher's budget evenly over the episode, and imitate the best card in between."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.engine import TensorDict
from ...envs.validation import real
from .rule import Talk, overlap
from .weights import BetterCard

_DECAY = 0.95  # of the running mean of agreement, as of the features of hosted sources


class EvenTwo(BetterCard):
    """Ask at an even pace, and imitate the best report card if it is better than one's own.

    Whoever is due asks: while the share of the budget that is spent is at most the share of the episode that is over.
    So labels come to the end, and there is always somebody who has just learnt from some; where they are not limited
    everyone asks always.
    """

    def asks(self, talk: Talk) -> Tensor:
        """Who is due."""
        return 1 - talk.report[..., 1] <= talk.elapsed


class EvenTrust(EvenTwo):
    """The same among sources that agree with oneself.

    A source is trusted while its agreement with oneself, Σ min(p, own) in the mean over rows, now and in the running
    mean, is at least ``threshold`` times the median's over the sources heard (the lower one of two). A liar in a
    classroom agrees nearly as well as the honest while beliefs are flat, so a lower threshold lets some in: with .75
    one world in ten follows a liar down.

    Args:
        threshold: What of the median's agreement a source must have.
    """

    def __init__(self, threshold: float = 0.93) -> None:
        self.threshold = real("threshold", threshold, 0)

    def begin(self) -> TensorDict:
        """Nobody has agreed with anything yet."""
        w, n = self.world.num_worlds, self.world.num_agents
        zeros = torch.zeros(w, n, self.sources, device=self.world.device)
        return {"agreement": zeros, "times": zeros}

    def weights(self, talk: Talk) -> Tensor:
        """One-hot, among the trusted."""
        trusted = talk.spoke & self.trusts(talk)[..., None]
        return super().weights(talk._replace(rows=talk.rows * trusted[..., None], spoke=trusted))

    def trusts(self, talk: Talk) -> Tensor:
        """Whom oneself trusts, bool ``[W, N, S]``, this slice included."""
        now = talk.row_mean(overlap(talk.rows, talk.own[:, :, None]))
        times = self.memory["times"] + talk.heard
        rate = (1 / times.clamp_min(1)).clamp_min(1 - _DECAY) * talk.heard
        mean = self.memory["agreement"] + rate * (now - self.memory["agreement"])
        self.memory = {"agreement": mean, "times": times}
        least = torch.minimum(now, mean)
        median = least.masked_fill(~talk.heard, torch.nan).nanmedian(-1, keepdim=True).values
        return least >= self.threshold * median
