"""Voting: every voter states how sure it is, and counts for as much."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ...envs.errors import unknown
from . import aggregation as by
from .experts import Experts, flatten
from .routing import Confidence

VOTINGS = ("soft", "hard", "weighted")


class VotingLayer(nn.Module):
    """n voters Linear–ReLU–Linear, each with a vote (a class distribution) and a confidence.

    A confidence is a score, linear in the input.

    * "soft": votes weighted by the softmax of the scores over voters;
    * "weighted": ``Σ c·vote / Σ c``, c the logistic function of the score, so that it is positive;
    * "hard": the majority's class, one-hot; of ties the class with the greatest summed probability. Its gradient
      is that of "soft" (straight-through; Bengio, Léonard & Courville, 2013), for a majority itself has none.

    Args:
        inputs: Width of the input.
        hidden: Width of a voter's hidden layer.
        classes: C.
        key: int64 ``[*copies]``, one independent layer for each; or a seed, for one.
        voters: n.
        voting: "soft", "hard" or "weighted".

    Raises:
        UnknownName: No such way of voting.
        ConfigError: A size or number out of range.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        *,
        key: Tensor | int,
        voters: int = 8,
        voting: str = "soft",
    ) -> None:
        super().__init__()
        if voting not in VOTINGS:
            raise unknown("way of voting", voting, VOTINGS)
        self.voting = voting
        self.voters = Experts(voters, (inputs, hidden, classes), key=key, activation=F.relu)
        self.confidence = Confidence(inputs, voters, key=key)

    def forward(self, x: Tensor) -> Tensor:
        """Class distributions ``[*copies, *batch, C]`` for ``[*copies, *batch, in]``."""
        rows, batch = flatten(x, self.voters.copies, self.voters.sizes[0])
        votes = self.voters.of_all(rows).softmax(-1)
        route = self.confidence(rows)
        if self.voting == "weighted":
            said = by.weighted(votes, F.normalize(route.logits.sigmoid(), p=1.0, dim=-1))
        else:
            said = by.weighted(votes, route.gates)
        if self.voting == "hard":
            said = by.vote(votes) + (said - said.detach())
        return said.view(*self.voters.copies, *batch, said.shape[-1])
