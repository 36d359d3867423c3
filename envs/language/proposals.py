"""Which of the operations that agents propose is carried out, and what it makes of the tree."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..engine.state import TensorDict
from . import census, operations
from . import tree as shape
from .operations import Change
from .tree import DISSOLVE, GROW, MERGE, MOVE, NOTHING, RETIRE, SPLIT, Limits, Tree


class Decided(NamedTuple):
    """One operation, or none, in each world."""

    who: Tensor
    """int64 ``[W]``; somebody where nothing is done."""
    operation: Tensor
    """int64 ``[W]``."""


def tree_of(state: TensorDict) -> Tree:
    """The trees in a state."""
    return Tree(state["tree/kind"], state["tree/parent"], state["tree/gate"])


def planted(tree: Tree) -> TensorDict:
    """Trees, as a state keeps them for everyone to see."""
    return {f"tree/{name}": value.clone() for name, value in tree._asdict().items()}


def mates(state: TensorDict, limits: Limits) -> Tensor:
    """Whether two agents could be merged, bool ``[W, S, S]``."""
    return shape.mates(tree_of(state), limits) & ~(state["protected"] > 0)[:, None]


def legal(state: TensorDict, limits: Limits) -> Tensor:
    """Which operations agents may propose, bool ``[W, S, 8]``."""
    return shape.legal(
        tree_of(state),
        limits,
        protected=state["protected"] > 0,
        busy=state["trial/operation"] != NOTHING,
        kept=state["copies"].isfinite().sum(-1),
    )


def decide(legal: Tensor, bids: Tensor, proposed: Tensor, luck: Tensor, moving: Tensor) -> Decided:
    """The legal proposal with the highest bid in each world that moves.

    Args:
        legal: As of :func:`legal`.
        bids: ``[W, S]``.
        proposed: int64 ``[W, S]``.
        luck: A random place of each agent, int64 ``[W, S]``; of equal bids the lowest counts.
        moving: bool ``[W]``.
    """
    able = legal.gather(-1, proposed[..., None])[..., 0] & (proposed != NOTHING)
    offered = torch.where(able, bids, -1.0)
    highest = able & (offered == offered.amax(-1, keepdim=True))
    who = torch.where(highest, luck, bids.shape[1]).argmin(-1)
    operation = torch.where(able.any(-1) & moving, proposed.gather(1, who[:, None])[:, 0], NOTHING)
    return Decided(who, operation)


def plan(state: TensorDict, limits: Limits, decided: Decided, offsets: Tensor, *, fresh: bool) -> Change:
    """What becomes of trees and agents.

    Args:
        state: Before it.
        limits: Of the trees.
        decided: What is done.
        offsets: Of agents, ``[W, S]``.
        fresh: Whether those who are grown are copies of the parent, and not of the leaf.
    """
    who, operation = decided

    def of_who(others: Tensor) -> Tensor:
        return others.gather(1, who[:, None])[:, 0]

    mate = of_who(shape.best(census.similarity(state), mates(state, limits)))
    home = of_who(shape.best(census.cosines(state["together"]), shape.homes(tree_of(state), limits)))
    change = operations.unchanged(tree_of(state))
    change = operations.retire(change, operation == RETIRE, who)
    change = operations.merge(change, operation == MERGE, who, mate)
    if fresh:
        change = operations.hire(change, operation == GROW, who, offsets)
    else:
        change = operations.grow(change, operation == GROW, who)
    change = operations.move(change, operation == MOVE, who, home, offsets, limits)
    change = operations.split(change, operation == SPLIT, who, _half(state, who))
    return operations.dissolve(change, operation == DISSOLVE, who, offsets)


def _half(state: TensorDict, who: Tensor) -> Tensor:
    """Half of an agent's children, bool ``[W, S]``: those most often active with the busiest of them, and this one."""
    slots = torch.arange(state["usage"].shape[1], device=who.device)
    own = shape.child_of(tree_of(state)).gather(2, who[:, None, None].expand(-1, len(slots), 1))[..., 0]
    busiest = torch.where(own, (state["usage"] * 10_000).round(), -1.0).argmax(-1)
    together = census.cosines(state["together"])
    with_it = together.gather(1, busiest[:, None, None].expand(-1, 1, len(slots)))[:, 0]
    score = torch.where(slots == busiest[:, None], 2.0, (with_it * 1000).round() / 1000)
    order = torch.where(own, score, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    return own & (order.argsort(-1) < own.sum(-1, keepdim=True) // 2)
