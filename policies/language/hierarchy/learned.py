"""A learnt rule for trees of experts: what an agent bids and proposes is linear in what it sees of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ....envs.engine import TensorDict
from ....envs.language.tree import OPERATIONS
from ...parametric import Parametric
from .gardening import Gardening
from .structure import steps_of

_KINDS = ("root", "manager", "expert")
_FEATURES = (
    *_KINDS,
    *(f"elapsed, {kind}" for kind in _KINDS),
    *("usage", "learnt", "recency", "idle", "gradient", "similar", "elsewhere", "gap", "gap's age", "trend"),
)
_CHOICES = ("bid", *OPERATIONS[1:])


class LinearTree(Gardening, Parametric):
    """Scores θ_c·x of a bid and of each operation c; the features x are those of :func:`features`.

    An agent bids max(0, tanh of its score), and whoever is below 0 rests. It proposes the legal operation with the
    highest score, if that is above 0. θ is the same for all agents. At first all learn and nobody proposes anything.
    ``studyhall train k1-structure-train --algo es`` trains it.
    """

    names: ClassVar[tuple[str, ...]] = tuple(f"{choice}: {name}" for choice in _CHOICES for name in _FEATURES)
    forms: ClassVar[tuple[str, ...]] = ("k",)
    world_kwargs: Mapping[str, Any] = {}

    def start(self) -> Tensor:
        """A half for a bid, and minus a half for an operation, of each kind."""
        found = torch.zeros(len(_CHOICES), len(_FEATURES))
        found[:, : len(_KINDS)] = -0.5
        found[0, : len(_KINDS)] = 0.5
        return found.flatten()

    def act(self, obs: TensorDict) -> TensorDict:
        """``bid`` ``[W, N, 1]`` and ``operation`` int64 ``[W, N]``."""
        theta = self.of_worlds.view(-1, len(_CHOICES), len(_FEATURES))
        bid, *operations = torch.einsum("wnp,wcp->cwn", features(obs), theta)
        legal = obs["operation_mask"][..., 1:] > 0
        scores = torch.where(legal, torch.stack(operations, -1), -torch.inf)
        best, which = scores.max(-1)
        return {
            "bid": (bid.tanh().clamp_min(0) * obs["alive"][..., 0])[..., None],
            "operation": torch.where(best > 0, which + 1, 0),
        }


def features(obs: TensorDict) -> Tensor:
    """What choices are a function of, ``[W, N, P]``, each of the order of 1; 0 of free slots.

    ================================  ===============================================================================
    a kind                            1 for agents of this kind
    elapsed, a kind                   share of the episode, for agents of this kind
    usage                             tokens that pick one over an even share of the living, less 1, at most 2
    learnt                            share of steps learnt since one came
    recency, idle                     of the last step learnt, and of the last with much weight: t / (t + 10)
    gradient                          log₁₀ of its norm over the mean of the living
    similar                           to the most similar sibling
    elsewhere                         how much more often one is active with another manager than with one's own
    gap, gap's age                    share of the errors that fall to one; age of the oldest cluster, over 100 steps
    trend                             ten times the trend of losses
    ================================  ===============================================================================
    """
    alive, record = obs["alive"][..., 0], obs["record"]
    count = alive.sum(-1, keepdim=True).clamp_min(1)
    kinds, gradient = obs["own_features"][..., : len(_KINDS)], obs["gradient"][..., 0]
    columns = [
        (record[..., 1] * count - 1).clamp(max=2.0),
        record[..., 2],
        record[..., 3],
        record[..., 4],
        (gradient - (gradient * alive).sum(-1, keepdim=True) / count).clamp(-2, 2),
        obs["similarity"][..., 0],
        obs["together"][..., 1] - obs["together"][..., 0],
        obs["gap"][..., 0],
        (steps_of(obs["gap"][..., 1]) / 100).clamp(max=1.0),
        (10 * obs["losses"][..., 2]).clamp(-2, 2),
    ]
    found = torch.cat([kinds, obs["elapsed"] * kinds, torch.stack(columns, dim=-1)], dim=-1)
    return found * alive[..., None]
