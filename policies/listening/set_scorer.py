"""One small network for any number of sources: what it says of a source hangs on the source, oneself and the rest.

Sources are encoded one by one, averaged over those that were heard (Deep Sets, Zaheer et al. 2017), and scored
one by one beside that average. No parameter knows how many there are, and their order plays no part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ...envs.errors import ConfigError

OWN = ("own_features", "report", "elapsed")
"""What is observed of oneself."""


class SetScorer(nn.Module):
    """Scores sources, and says ``pooled`` numbers of its own beside them.

    Args:
        source_features: F, features of a source.
        own_features: G, features of ``own_features``, ``report`` and ``elapsed`` together.
        pooled: P, numbers that hang on no single source (a gate, whether to ask, choices without a source).
        width: Of the hidden layers.
    """

    def __init__(self, source_features: int, own_features: int, pooled: int, width: int = 64) -> None:
        super().__init__()
        self.pooled = pooled
        self.of_source = nn.Linear(source_features, width)
        self.of_self = nn.Linear(own_features, width)
        self.mix = nn.Linear(width, width)
        self.context = nn.Linear(2 * width, width)
        self.score = nn.Linear(width, 1)
        self.heads = nn.Linear(width, pooled) if pooled else None
        self.judge = nn.Linear(2 * width, width)
        self.value = nn.Linear(width, 1)
        begin_near_zero(self, (self.score, self.heads), self.value)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> SetScorer:
        """The scorer that a ``state_dict`` is of.

        Raises:
            KeyError: An entry is missing.
            RuntimeError, ValueError: Shapes do not fit together.
        """
        width, source_features = state["of_source.weight"].shape
        pooled = state["heads.weight"].shape[0] if "heads.weight" in state else 0
        with torch.device("meta"):  # no layer is made of sizes that do not fit together
            scorer = cls(source_features, state["of_self.weight"].shape[1], pooled, width)
        scorer.load_state_dict(state, assign=True)
        return scorer

    @property
    def features(self) -> tuple[int, int]:
        """F and G."""
        return self.of_source.in_features, self.of_self.in_features

    def forward(self, obs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and value.

        Args:
            obs: ``sources [..., S, F]``, ``sources_mask [..., S]``, and what is known of oneself: ``own_features``,
                ``report`` and ``elapsed``, ``[..., g]`` each.

        Returns:
            ``[..., P + S]``: the pooled numbers, then one for each source (−1 where it was not heard); and the
            value, ``[...]``.
        """
        heard = obs["sources_mask"].to(torch.float32)[..., None]
        own = self.of_self(torch.cat([obs[key] for key in OWN], dim=-1))
        encoded = torch.tanh(self.of_source(obs["sources"]) + own[..., None, :])
        average = (encoded * heard).sum(-2) / heard.sum(-2).clamp_min(1.0)
        about = torch.cat([average, torch.tanh(own)], dim=-1)
        context = torch.tanh(self.context(about))
        scores = self.score(torch.tanh(self.mix(encoded) + context[..., None, :]))[..., 0]
        scores = scores.masked_fill(heard[..., 0] == 0, -1.0)
        if self.heads is not None:
            scores = torch.cat([self.heads(context), scores], dim=-1)
        return scores, self.value(torch.tanh(self.judge(about)))[..., 0]


def begin_near_zero(network: nn.Module, last: tuple[nn.Linear | None, ...], value: nn.Linear) -> None:
    """Begin as is usual for PPO: the first actions are near 0 for every source, so nothing is ruled out."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(
                layer.weight, 0.01 if layer in last else 1.0 if layer is value else math.sqrt(2)
            )
            nn.init.zeros_(layer.bias)


def legal_logits(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores ``[..., K]`` as logits, those that the mask ``[..., K]`` forbids out of reach."""
    return scores.masked_fill(mask == 0, -1e8)


class Sizes(NamedTuple):
    """What a scorer must know of an observation."""

    sources: int  # S
    source_features: int  # F
    own_features: int  # G


def observed_sizes(observed: Mapping[str, spaces.Space], who: str) -> Sizes:
    """Sizes of a hosted world's observation.

    Args:
        observed: Parts of the observation space of a single agent.
        who: Wants to know, for the error.

    Raises:
        ConfigError: The world hosts no learners; says what to do.
    """
    if not {"sources", "sources_mask", *OWN} <= set(observed):
        raise ConfigError(
            f"{who} decides whom hosted learners listen to, and this world hosts none: make it with "
            "learners='mlp' and actions='listen', 'gated' or 'discrete'"
        )
    sources, features = observed["sources"].shape or ()
    return Sizes(sources, features, sum(math.prod(observed[key].shape or ()) for key in OWN))
