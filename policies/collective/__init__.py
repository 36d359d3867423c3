"""Collective layers: every collective is a weighted sum of specialists, y = Σ wᵢ(x)·fᵢ(x).

Plain ``nn.Module`` layers, usable outside any world. Weights are stacked, ``[*copies, E, in, out]``: E experts,
and before them the shape of ``key``, one independent copy of the layer for each key (``world.keys`` makes W of
them, a seed one). Inputs are ``[*copies, *batch, in]``. Nothing loops over copies, experts or tokens. Initial
weights, noise and samples come from explicit keys, never from a global generator.

| layer | w(x) |
|---|---|
| :class:`Ensemble` | 1/n, a vote, or learnt once for all inputs |
| :class:`MoE`, :class:`Switch` | a router's, over the few experts it picks; only these cost compute |
| :class:`VotingLayer` | stated confidence |
| :class:`UnifiedCollective` | any of these |
| :class:`RelevanceRouter` | a router's, over scorers of tokens |

Under ``torch.autocast`` experts compute in its precision, routers and stated confidences in that of their weights.
``torch.func.grad`` and gradients of gradients go through (these not of long batches of a mixture on a CPU, which says
so), ``vmap`` and ``jvp`` do not.

``…_AS_PUBLISHED`` are the arguments with which a layer does what its document does, quirks and all.
"""

from . import aggregation
from .allocation import allocate, sample_tokens
from .dispatch import grouped
from .ensemble import (
    AGGREGATIONS,
    DIVERSE_AS_PUBLISHED,
    Ensemble,
    Opinion,
    diverse_loss,
    errors,
    mean_correlation,
    predictions,
)
from .experts import Experts
from .moe import MOE_AS_PUBLISHED, SWITCH_AS_PUBLISHED, Mixed, MoE, Switch
from .relevance import SCORERS, Relevance, RelevanceRouter
from .routing import Confidence, Load, NoisyTopK, Route, Top1, TopK, Uniform, balance_loss, raw_z_loss, z_loss
from .unified import WEIGHTINGS, Sum, UnifiedCollective
from .voting import VOTINGS, VotingLayer

__all__ = [
    "AGGREGATIONS",
    "DIVERSE_AS_PUBLISHED",
    "MOE_AS_PUBLISHED",
    "SCORERS",
    "SWITCH_AS_PUBLISHED",
    "VOTINGS",
    "WEIGHTINGS",
    "Confidence",
    "Ensemble",
    "Experts",
    "Load",
    "Mixed",
    "MoE",
    "NoisyTopK",
    "Opinion",
    "Relevance",
    "RelevanceRouter",
    "Route",
    "Sum",
    "Switch",
    "Top1",
    "TopK",
    "UnifiedCollective",
    "Uniform",
    "VotingLayer",
    "aggregation",
    "allocate",
    "balance_loss",
    "diverse_loss",
    "errors",
    "grouped",
    "mean_correlation",
    "predictions",
    "raw_z_loss",
    "sample_tokens",
    "z_loss",
]
