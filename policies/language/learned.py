"""A learnt rule of who learns: a group's bid is a linear function of what it sees of itself and of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...envs.engine import TensorDict
from ...envs.language.modular import KINDS
from ..parametric import Parametric
from .bidding import Bidding

_GROUP = ("depth", "rms", "norm", "age", "learnt", "recency", "way")
_MODEL = ("loss", "trend", "current", "kept")


class LinearBids(Bidding, Parametric):
    """Bids of max(0, tanh θ·x); the features x are those of :func:`features`, and θ is the same for all groups.

    So it fits models of any number of layers and domains. Whoever is below 0 rests, and the rest bid in the order of
    θ·x; where ``actions`` are "rate", tanh θ·x is also the share of the learning rate. At first all bid alike: ``k``
    drawn groups learn. ``studyhall train k1-train --algo es --set policy=linear_bids`` trains it.

    ``k1-bids`` comes with the package.
    """

    names: ClassVar[tuple[str, ...]] = (*KINDS, *_GROUP, *_MODEL, *(f"elapsed, {kind}" for kind in KINDS))
    forms: ClassVar[tuple[str, ...]] = ("actions", "k")
    world_kwargs: Mapping[str, Any] = {}

    def start(self) -> Tensor:
        """A half for every kind."""
        return torch.tensor([0.5 if name in KINDS else 0.0 for name in self.names])

    def scores(self, obs: TensorDict) -> Tensor:
        """θ·x, ``[W, N]``; −∞ where it is not above 0."""
        found = torch.einsum("wnp,wp->wn", features(obs), self.of_worlds)
        return found.masked_fill(found <= 0, -torch.inf)

    def act(self, obs: TensorDict) -> TensorDict:
        """The bids, ``[W, N, 1]``."""
        return {"bid": self.scores(obs).tanh().clamp_min(0.0)[..., None]}


def features(obs: TensorDict) -> Tensor:
    """What a bid is a function of, ``[W, N, P]``, each of the order of 1.

    ================================  ===============================================================================
    a kind                            1 for groups of this kind
    depth                             −½ … ½
    rms, norm                         log₁₀ of the gradient's root mean square, and of its norm over the parameters',
                                      over the mean of the groups whose gradient is known; 0 where it is not
    age, recency                      of the measurement and of the last step learnt: t / (t + 10)
    learnt                            share of steps learnt
    way                               1 + ¼·log₁₀ of how far parameters went over their norm, at least 0
    loss, trend                       mean loss of slices in units of ln V; ten times its trend
    current, kept                     the last card of the domain that is on; the best one of the others; 0 for none
    elapsed, a kind                   share of the episode, for groups of this kind
    ================================  ===============================================================================
    """
    own, gradient, record = obs["own_features"], obs["gradient"], obs["record"]
    kinds, known = own[..., : len(KINDS)], gradient[..., 3] < 1
    columns = [
        own[..., 4] - 0.5,
        _among(gradient[..., 0], known),
        _among(gradient[..., 2], known),
        gradient[..., 3],
        record[..., 0],
        record[..., 1],
        (1 + record[..., 3] / 4).clamp(0, 1),
        obs["losses"][..., 1],
        10 * obs["losses"][..., 2],
        (obs["cards"] * obs["current_domain"]).sum(-1),
        _best(obs["cards"], obs["current_domain"] == 0),
    ]
    return torch.cat([kinds, torch.stack(columns, dim=-1), obs["elapsed"] * kinds], dim=-1)


def _among(values: Tensor, known: Tensor) -> Tensor:
    """Values ``[W, N]`` less the mean of the known, 0 where they are not known."""
    mean = (values * known).sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp_min(1)
    return (values - mean) * known


def _best(cards: Tensor, others: Tensor) -> Tensor:
    """The lowest card of some domains, 0 where there are none."""
    return torch.where(others.any(-1), cards.masked_fill(~others, torch.inf).amin(-1), 0.0)
