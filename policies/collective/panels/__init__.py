"""Panels: specialists, what they bid, and what they learn; the collective layers as they act in a world.

A panel is an ``nn.Module`` of W independent copies. Inputs are ``[W, R, D]`` where all specialists see the same R
samples, or ``[W, N, R, D]`` where each has a view of its own; answers are distributions ``[W, N, R, C]``, bids
``[W, N, R]``.

| panel | bids | loss |
|---|---|---|
| :class:`Ensemble` | alike, or by confidence | each specialist's own |
| :class:`WeightedEnsemble` | softmax of N learnt numbers | likewise; the numbers learn by what the mixture says |
| :class:`DiverseEnsemble` | alike, or by confidence | own, and the correlation of errors |
| :class:`MixtureOfExperts` | a noisy top-k router's | the mixture's, and the balance loss |
| :class:`SwitchPanel` | a top-1 router's | of the answer sharpened by its gate, balance and z-loss |
| :class:`VotingPanel` | stated confidence | the mixture's |
| :class:`UnifiedPanel` | any of three | the mixture's |

The last four are layers of :mod:`~studyhall.policies.collective`, and learn as these
(:mod:`~studyhall.policies.collective.panels.layers`).
"""

from __future__ import annotations

from typing import Any

from .. import MOE_AS_PUBLISHED
from .layers import AnyPanel, MixtureOfExperts, SwitchPanel, UnifiedPanel, VotingPanel
from .panel import DiverseEnsemble, Ensemble, Panel, WeightedEnsemble

__all__ = [
    "AS_PUBLISHED",
    "PANELS",
    "AnyPanel",
    "DiverseEnsemble",
    "Ensemble",
    "MixtureOfExperts",
    "Panel",
    "SwitchPanel",
    "UnifiedPanel",
    "VotingPanel",
    "WeightedEnsemble",
]

PANELS: dict[str, Any] = {
    "ensemble": Ensemble,
    "weighted_ensemble": WeightedEnsemble,
    "diverse_ensemble": DiverseEnsemble,
    "moe": MixtureOfExperts,
    "switch": SwitchPanel,
    "voting": VotingPanel,
    "unified": UnifiedPanel,
}
"""All of them, by the names of their policies."""

AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "diverse_ensemble": {"of": "predictions"},
    "moe": MOE_AS_PUBLISHED,
    "switch": {"z_form": "raw"},
}
"""Options with which a panel does what its document does, where that is not what it does without them."""
