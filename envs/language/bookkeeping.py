"""What is kept of a step of a tree of agents: who was used and who learnt, and where the model erred."""

from __future__ import annotations

import torch
from torch import Tensor

from ...learners.tree_model import TreeStep
from ..engine.state import TensorDict
from . import census, gaps
from .colony import Colony
from .proposals import tree_of

_HEARD = 32  # tokens of a slice by which it is told who says the like


def after(
    state: TensorDict,
    models: Colony,
    seen: TreeStep,
    *,
    domains: Tensor,
    learns: Tensor,
    begins: Tensor,
    drawn: Tensor,
    window: int,
) -> TensorDict:
    """New entries of the state after a slice was learnt.

    Args:
        state: Before it, with the tree that learnt it.
        models: After it.
        seen: What the step saw, of M = B·T tokens.
        domains: One-hot of each window, float ``[W, B, D]``.
        learns: Who learnt, bool ``[W, S]``.
        begins: Where the slice is the first of a task, but of the first task, bool ``[W]``.
        drawn: Tokens whose errors are looked at, int64 ``[W, 8]``.
        window: Steps that the usage shown is of.
    """
    net, paths, experts = models.net, models.paths(), models.experts
    tokens, rows = seen.nats.shape[1], domains.shape[1]
    heard = torch.linspace(0, tokens - 1, min(_HEARD, tokens), device=drawn.device).long()
    said = net.answers(experts, seen.x[:, heard])
    now = {**state, "earlier": torch.where(begins[:, None], state["updates"], state["earlier"])}
    weights = seen.weights.unflatten(1, (rows, tokens // rows))
    new = census.after(now, weights, said, domains, learns, tree_of(now).kind, paths.above, window)
    squares = torch.stack([gradient.square().flatten(1).sum(1) for gradient in seen.experts]).sum(0)
    new |= {
        "earlier": now["earlier"],
        "protected": (state["protected"] - 1).clamp_min(0),
        "norm": squares.sqrt().view_as(learns),
    }
    points = seen.x.gather(1, drawn[..., None].expand(-1, -1, net.width))
    errors = (seen.nats - seen.nats.mean(-1, keepdim=True)).gather(1, drawn).clamp_min(0)
    new |= gaps.after(state, points, errors)
    alike = paths._replace(gate=(paths.gate > 0).float())  # else halving would give a gap to another leaf
    at_gaps = net.leaf_weights(experts, alike, gaps.centres(new))
    return new | gaps.served(new, at_gaps)
