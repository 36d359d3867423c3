"""How good experts are at their own classes, at the others', and which of them is best at whose."""

from __future__ import annotations

import torch
from torch import Tensor

Figures = dict[str, Tensor]
"""Figure to values, float ``[W, N]``."""


def figures(probabilities: Tensor, labels: Tensor, own_classes: Tensor, *, top: int | None = None) -> Figures:
    """What each agent is worth.

    Args:
        probabilities: ``[W, N, M, C]``.
        labels: int64 ``[M]``.
        own_classes: bool ``[W, N, C]``.
        top: How many classes may be named; None: only the likeliest.

    Returns:
        ``expert`` (accuracy on one's own classes), ``general`` (on the others), ``average`` (mean of the two),
        ``global`` (on all), ``directionality`` (expert − general), ``own_best`` (1 where nobody else of the world is as
        good on one's own classes, else 0), and ``top<k>`` (whose label is among the ``top`` likeliest) where ``top``
        is below C. NaN what is of one's own classes, or of others, where there are no items of such.
    """
    right = (probabilities.argmax(-1) == labels).float()  # [W, N, M]
    own = own_classes[..., labels].float()
    mine, theirs = own.sum(-1), (1 - own).sum(-1)
    good = right @ own.mT  # [W, N, owner]: right answers on each one's classes, so whole numbers
    on_own = good.diagonal(dim1=1, dim2=2)
    expert = on_own / mine  # 0 / 0 is NaN: nothing is known of answers to nothing
    general = (right.sum(-1) - on_own) / theirs
    itself = torch.eye(len(own[0]), dtype=torch.bool, device=right.device)
    others = good.masked_fill(itself, -1.0).amax(1)
    found = {
        "expert": expert,
        "general": general,
        "average": (expert + general) / 2,
        "global": right.mean(-1),
        "directionality": expert - general,
        "own_best": ((on_own > others) & (mine > 0)).float(),
    }
    if top is not None and top < probabilities.shape[-1]:
        named = probabilities.topk(top, dim=-1).indices
        found[f"top{top}"] = (named == labels[:, None]).any(-1).float().mean(-1)
    return found
