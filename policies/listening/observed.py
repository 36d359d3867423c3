"""What a network that decides whom to listen to reads of a hosted world's observation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from gymnasium import spaces
from torch import Tensor

from ...envs.errors import ConfigError

OWN = ("own_features", "report", "elapsed")
"""What is observed of oneself."""


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
    if not {"sources", "sources_mask", "history", *OWN} <= set(observed):
        raise ConfigError(
            f"{who} decides whom hosted learners listen to, and this world hosts none: make it with "
            "learners='mlp' and actions='listen', 'gated' or 'discrete'"
        )
    sources, features = observed["sources"].shape or ()
    return Sizes(sources, features, sum(math.prod(observed[key].shape or ()) for key in OWN))
