"""Where a model errs: clusters of the activations at which it does, by mini-batch k-means (Sculley, WWW 2010)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..engine.state import TensorDict

CLUSTERS = 8
"""Of errors; as many tokens of each slice are looked at."""

_KEPT = 0.98  # of what is known, in each step
_LEAST = 0.01  # share of all errors from which on a cluster counts, as documented


def begin(worlds: int, width: int, agents: int, device: torch.device) -> TensorDict:
    """No errors yet."""
    nothing = torch.zeros(worlds, CLUSTERS, device=device)
    of_agents = torch.zeros(worlds, agents, device=device)
    return {
        "gap/sum": torch.zeros(worlds, CLUSTERS, width, device=device),
        "gap/weight": nothing,
        "gap/age": nothing,
        "gap/server": torch.zeros(worlds, CLUSTERS, dtype=torch.int64, device=device),
        "gap/share_of": of_agents,
        "gap/age_of": of_agents,
    }


def after(state: TensorDict, points: Tensor, errors: Tensor) -> TensorDict:
    """Clusters after some tokens more.

    Args:
        state: Before.
        points: Activations at some tokens, ``[W, 8, E]``.
        errors: How wrong the model was there, at least 0: ``[W, 8]``.
    """
    sums, weight = state["gap/sum"] * _KEPT, state["gap/weight"] * _KEPT
    empty = weight < 1e-6
    distance = (points[:, :, None] - centres(state)[:, None]).square().mean(-1)  # [W, token, cluster]
    nearest = torch.where(empty[:, None], torch.inf, distance).argmin(-1)
    own = torch.arange(CLUSTERS, device=points.device)
    nearest = torch.where(empty, own, nearest)  # an empty cluster begins with the token of its number
    share = (nearest[..., None] == own) * errors[..., None]
    weight = weight + share.sum(1)
    counts = weight >= _LEAST * weight.sum(-1, keepdim=True).clamp_min(1e-6)
    return {
        "gap/sum": sums + torch.bmm(share.mT, points),
        "gap/weight": weight,
        "gap/age": torch.where(counts, state["gap/age"] + 1, 0.0),
    }


def centres(state: TensorDict) -> Tensor:
    """Of the clusters, ``[W, 8, E]``."""
    return state["gap/sum"] / state["gap/weight"].clamp_min(1e-6)[..., None]


def served(state: TensorDict, weights: Tensor) -> TensorDict:
    """Whose the clusters are: each that of the leaf with the highest weight at its centre.

    Args:
        state: With the clusters.
        weights: Of leaves at the centres, ``[W, 8, S]``; compared to 1/10,000, so that rounding decides nothing.

    Returns:
        ``gap/server`` int64 ``[W, 8]``; and of each agent the share of all errors in its clusters, and the age of the
        oldest, ``[W, S]``.
    """
    server = (weights * 10_000).round().argmax(-1)
    own = server[..., None] == torch.arange(weights.shape[-1], device=weights.device)
    share = state["gap/weight"] / state["gap/weight"].sum(-1, keepdim=True).clamp_min(1e-6)
    return {
        "gap/server": server,
        "gap/share_of": (own * share[..., None]).sum(1),
        "gap/age_of": (own * state["gap/age"][..., None]).amax(1),
    }


def oldest(state: TensorDict, who: Tensor) -> Tensor:
    """The oldest cluster of an agent ``who [W]``, bool ``[W, 8]``; none where it has none."""
    own = (state["gap/server"] == who[:, None]) & (state["gap/age"] > 0)
    age = torch.where(own, state["gap/age"], -1.0)
    first = age.argmax(-1, keepdim=True) == torch.arange(CLUSTERS, device=who.device)
    return own & first
