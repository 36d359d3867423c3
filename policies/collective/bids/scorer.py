"""One small network for any number of samples: what it bids for a sample hangs on that sample and on oneself.

Samples are scored one by one, and all members of a collective share the network. No parameter knows how many samples or
members there are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...listening.observed import OWN


class BidScorer(nn.Module):
    """A bid for each sample, as a number of which −1 is none and 1 is all, and the value of what is seen.

    Args:
        sample_features: F, features of a sample, in [0, 1].
        own_features: G, features of ``own_features``, ``report`` and ``elapsed`` together.
        width: Of the hidden layers.
    """

    def __init__(self, sample_features: int, own_features: int, width: int = 32) -> None:
        super().__init__()
        self.of_sample = nn.Linear(2 * sample_features, width)
        self.of_self = nn.Linear(own_features, width)
        self.mix = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)
        self.judge = nn.Linear(width, width)
        self.value = nn.Linear(width, 1)
        nn.init.orthogonal_(self.score.weight, 0.01)  # begins with equal bids
        nn.init.zeros_(self.score.bias)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> BidScorer:
        """The scorer that a ``state_dict`` is of.

        Raises:
            KeyError: An entry is missing.
            RuntimeError, ValueError: Shapes do not fit together.
        """
        width, features = state["of_sample.weight"].shape
        with torch.device("meta"):  # no layer is made of sizes that do not fit together
            scorer = cls(features // 2, state["of_self.weight"].shape[1], width)
        scorer.load_state_dict(state, assign=True)
        return scorer

    @property
    def features(self) -> tuple[int, int]:
        """F and G."""
        return self.of_sample.in_features // 2, self.of_self.in_features

    def forward(self, samples: Tensor, obs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Bids and value.

        Args:
            samples: Features ``[..., R, F]``.
            obs: What is known of oneself: ``own_features``, ``report`` and ``elapsed``, ``[..., g]`` each.

        Returns:
            Bids ``[..., R]``, which count up to ±1, and the value ``[...]``.
        """
        own = self.of_self(torch.cat([obs[key] for key in OWN], dim=-1))[..., None, :]
        # Near 1 the log odds tell apart what the feature itself does not.
        odds = torch.log((samples + 1e-3) / (1 - samples + 1e-3)) / 7
        hidden = torch.tanh(self.of_sample(torch.cat([2 * samples - 1, odds], dim=-1)) + own)
        value = self.value(torch.tanh(self.judge(hidden.mean(-2))))[..., 0]
        return self.score(torch.tanh(self.mix(hidden)))[..., 0], value
