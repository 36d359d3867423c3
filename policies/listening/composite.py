"""The rule a person arrives at who knows this society: a product of everything that helps."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.engine import TensorDict
from ...envs.validation import real
from .reliability import ReputationSelf
from .rule import Talk


class Composite(ReputationSelf):
    """Believe, row by row, the confident among the trusted, and drop braggarts. Hand-tuned.

    A source's weight on a row is conf^k · trust^q: its largest probability there, and its running agreement
    with oneself where oneself was certain (a row counts as certainty^anchor). A braggart, whose running mean
    confidence exceeds its trust by more than ``margin``, weighs nothing. Every number was tuned by hand on
    society-liar-digits, so this shows what knowing the world is worth; it is no classical rule.

    Args:
        decay: Of running agreement and confidence.
        sharpness: q.
        confidence: k.
        anchor: Exponent of one's own certainty.
        margin: What confidence may exceed trust by.
    """

    def __init__(
        self,
        decay: float = 0.98,
        sharpness: float = 4.0,
        confidence: float = 4.0,
        anchor: float = 2.0,
        margin: float = 0.3,
    ) -> None:
        super().__init__(decay, sharpness)
        self.confidence, self.anchor = real("confidence", confidence, 0), real("anchor", anchor, 0)
        self.margin = real("margin", margin, 0)

    def begin(self) -> TensorDict:
        """Nobody has agreed with anything, or bragged, yet."""
        fresh = super().begin()
        return fresh | {"boldness": torch.zeros_like(fresh["agreed"])}

    def compare(self, talk: Talk) -> tuple[Tensor, Tensor]:
        """Agreement with oneself, weighted by a power of one's own certainty."""
        agreement, weight = super().compare(talk)
        return agreement, weight**self.anchor

    def weights(self, talk: Talk) -> Tensor:
        """Weights of rows, ``[W, N, S, B]``."""
        boldness = self.memory["boldness"]
        trust = self.trust(talk)
        step = torch.where(talk.heard, 1.0 - self.decay, 0.0)
        boldness = boldness + step * (talk.row_mean(talk.confidence) - boldness)
        self.memory = {**self.memory, "boldness": boldness}
        braggart = boldness - trust > self.margin
        return talk.confidence**self.confidence * (trust**self.sharpness * ~braggart)[..., None]
