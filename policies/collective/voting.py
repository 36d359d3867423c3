"""Voting: every voter states how sure it is, and counts for as much."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ...envs.errors import one_of
from ...learners import softmax
from . import aggregation as by
from .experts import Experts, flatten, widths
from .routing import Confidence

VOTINGS = ("soft", "hard", "weighted")


class VotingLayer(nn.Module):
    """n voters, Linear–ReLU–Linear, each with a vote (a class distribution) and a confidence.

    A confidence is a score, linear in the input.

    * "soft": votes weighted by the softmax of the scores over voters;
    * "weighted": ``Σ c·vote / Σ c``, c the logistic function of the score, so that it is positive;
    * "hard": the majority's class, one-hot; of ties the class with the greatest summed probability. Its gradient
      is that of "soft" (straight-through; Bengio, Léonard & Courville, 2013), for a majority itself has none.

    Args:
        inputs: Width of the input.
        hidden: Width of a voter's hidden layer, or of each of several.
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
        hidden: int | Sequence[int],
        classes: int,
        *,
        key: Tensor | int,
        voters: int = 8,
        voting: str = "soft",
    ) -> None:
        super().__init__()
        one_of("way of voting", voting, VOTINGS)
        self.voting = voting
        self.voters = Experts(voters, widths(inputs, hidden, classes), key=key, activation=F.relu)
        self.confidence = Confidence(inputs, voters, key=key)

    def forward(self, x: Tensor) -> Tensor:
        """Class distributions ``[*copies, *batch, C]`` for ``[*copies, *batch, in]``."""
        rows, batch = flatten(x, self.voters.copies, self.voters.sizes[0])
        votes = softmax(self.voters.of_all(rows))
        said = by.weighted(votes, self.weights(rows))
        if self.voting == "hard":
            said = by.vote(votes) + (said - said.detach())
        return said.view(*self.voters.copies, *batch, said.shape[-1])

    def weights(self, rows: Tensor) -> Tensor:
        """Of the voters, ``[S, M, n]``, for inputs ``[S, M, in]``; where voting is "hard", those of its gradient."""
        route = self.confidence(rows)
        if self.voting == "weighted":
            return F.normalize(route.logits.sigmoid(), p=1.0, dim=-1)
        return route.gates
