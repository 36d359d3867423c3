"""What is kept of agents in a tree: how much they are used, by which domains, with whom, and how often they learnt."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..engine.state import TensorDict
from .tree import EXPERT, ROOT

_NEWEST = 0.05  # weight of the newest step in what agents have in common
_OF_AGENTS = ("norm", "usage", "picked/window", "updates", "since", "idle", "age", "protected", "opening")
_BY_DOMAIN = ("routed", "taught")
_IN_COMMON = ("together", "alike")


def begin(worlds: int, agents: int, domains: int, device: torch.device) -> TensorDict:
    """Nothing is known of anybody."""
    nothing = torch.zeros(worlds, agents, device=device)
    found = dict.fromkeys(_OF_AGENTS, nothing)
    found["since"] = torch.full_like(nothing, torch.inf)
    found |= dict.fromkeys(_BY_DOMAIN, torch.zeros(worlds, agents, domains, device=device))
    found |= dict.fromkeys(_IN_COMMON, torch.zeros(worlds, agents, agents, device=device))
    return found | {"earlier": nothing, "fell/earlier": nothing[:, 0], "fell/all": nothing[:, 0]}


def anew(state: TensorDict, who: Tensor) -> TensorDict:
    """What is kept after agents, bool ``[W, S]``, came or went: nothing of these."""
    worlds, agents, domains = state["routed"].shape
    fresh = begin(worlds, agents, domains, who.device)
    found = {name: torch.where(who, fresh[name], state[name]) for name in (*_OF_AGENTS, "earlier")}
    found |= {name: state[name].masked_fill(who[..., None], 0.0) for name in _BY_DOMAIN}
    either = who[..., None] | who[:, None]
    return found | {name: state[name].masked_fill(either, 0.0) for name in _IN_COMMON}


def after(
    state: TensorDict,
    weights: Tensor,
    said: Tensor,
    domains: Tensor,
    learns: Tensor,
    kind: Tensor,
    above: Tensor,
    window: int,
) -> TensorDict:
    """What is kept after a step.

    Args:
        state: Before it.
        weights: Of each agent for each token, ``[W, B, T, S]``.
        said: What the agents' networks say of some tokens, ``[W, S, …]``.
        domains: One-hot of each window, float ``[W, B, D]``.
        learns: Who learnt, bool ``[W, S]``.
        kind: Of the agents, ``[W, S]``.
        above: 1 where the second of two agents is the first or above it, ``[W, S, S]``.
        window: Steps that the mean of who was picked is of.
    """
    of_windows = weights.mean(2)  # [W, B, S]
    usage = of_windows.mean(1)
    peers = (kind[..., None] == kind[:, None]).sum(-1)
    picked = torch.bmm(_picked(weights.flatten(1, 2), kind == EXPERT)[:, None], above)[:, 0]
    learnt = learns.float()
    routed = torch.bmm(of_windows.mT, domains) / domains.shape[1]
    taught = learnt[..., None] * domains.mean(1)[:, None]
    tokens = weights.flatten(1, 2)
    later = (state["earlier"] > 0).any(-1)
    counted = learns & (kind != ROOT) & later[:, None]
    return {
        "usage": usage,
        "picked/window": state["picked/window"].lerp(picked, 1 / window),
        "updates": state["updates"] + learnt,
        "since": torch.where(learns, 0.0, state["since"] + 1),
        "idle": torch.where(picked * peers >= 0.5, 0.0, state["idle"] + 1),
        "age": state["age"] + 1,
        "routed": state["routed"] + routed,
        "taught": state["taught"] + taught,
        "together": state["together"].lerp(torch.bmm(tokens.mT, tokens) / tokens.shape[1], _NEWEST),
        "alike": state["alike"].lerp(torch.bmm(said.flatten(2), said.flatten(2).mT), _NEWEST),
        "fell/earlier": state["fell/earlier"] + (counted & (state["earlier"] > 0)).sum(-1),
        "fell/all": state["fell/all"] + counted.sum(-1),
    }


def _picked(weights: Tensor, leaf: Tensor) -> Tensor:
    """Share of the tokens for which each leaf has the highest weight, ``[W, S]``, of ``[W, tokens, S]``.

    They are compared to 1/10,000, so that rounding decides nothing; of equal ones the first is taken.
    """
    told = torch.where(leaf[:, None], (weights * 10_000).round(), -1.0)
    return torch.nn.functional.one_hot(told.argmax(-1), weights.shape[-1]).float().mean(1)


def cosines(products: Tensor) -> Tensor:
    """Cosines of what scalar products ``[W, S, S]`` are of; 0 where there is nothing yet."""
    norms = products.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
    return products / (norms[..., None] * norms[:, None]).clamp_min(1e-12)


def beside(products: Tensor, parent: Tensor) -> Tensor:
    """Cosines of agents' weights and those of their parents without them, ``[W, S]``; 0 where nothing is left.

    Args:
        products: Scalar products of weights, ``[W, S, S]``.
        parent: int64 ``[W, S]``.
    """
    own = products.diagonal(dim1=1, dim2=2)
    both = products.gather(2, parent[..., None])[..., 0]
    left = (own.gather(1, parent) - 2 * both + own).clamp_min(0)
    cosine = (both - own) / (own * left).clamp_min(1e-24).sqrt()
    return torch.where(left > 1e-6 * own.gather(1, parent), cosine, 0.0)


def similarity(state: TensorDict) -> Tensor:
    """Half the cosine of the weights that agents get, half that of what they say, ``[W, S, S]``."""
    return (cosines(state["together"]) + cosines(state["alike"])) / 2


def specialisation(counts: Tensor, alive: Tensor) -> Tensor:
    """``1 − H(domain | agent) / ln D``, mean over the living with any count, ``[W]``, of counts ``[W, S, D]``.

    NaN where nobody has one, or there is one domain alone.
    """
    total = counts.sum(-1)
    share = counts / total.clamp_min(1e-12)[..., None]
    entropy = -torch.xlogy(share, share).sum(-1)
    of_each = 1 - entropy / math.log(counts.shape[-1]) if counts.shape[-1] > 1 else entropy * torch.nan
    counted = alive & (total > 0)
    return torch.where(counted, of_each, 0.0).sum(-1) / counted.sum(-1)


def information(counts: Tensor, who: Tensor) -> Tensor:
    """Mutual information of domain and agent in nats, ``[W]``, of counts ``[W, S, D]`` of the agents ``who``."""
    joint = counts * who[..., None]
    joint = joint / joint.sum((1, 2), keepdim=True)
    apart = joint.sum(1, keepdim=True) * joint.sum(2, keepdim=True)
    return torch.where(joint > 0, joint * (joint / apart.clamp_min(1e-30)).clamp_min(1e-30).log(), 0.0).sum(
        (1, 2)
    )
