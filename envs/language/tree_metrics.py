"""Figures of a tree of agents at the end: what became of it, and whose agents are by domain."""

from __future__ import annotations

from collections.abc import Sequence

from ..engine.state import TensorDict
from . import census
from . import tree as shape
from .proposals import tree_of
from .tree import OPERATIONS, Limits


def summary(state: TensorDict, limits: Limits) -> TensorDict:
    """Metrics ``[W]`` or ``[W, S]``, as on the page of ``hierarchy-v0``."""
    tree = tree_of(state)
    return {
        "updates": state["updates"] * tree.alive,
        "updated": state["total/updated"] / state["clock"].clamp_min(1),
        "alive": tree.alive.sum(-1),
        "experts": (tree.kind == shape.EXPERT).sum(-1),
        "managers": (tree.kind == shape.MANAGER).sum(-1),
        "depth": shape.depth(tree, limits).amax(-1),
        "tried": state["tried"].sum(-1),
        "undone": state["undone"].sum(-1),
    }


def cases(state: TensorDict, dealt: Sequence[int]) -> TensorDict:
    """Metrics by case ``[W]``, as on the same page.

    Args:
        state: Of the worlds.
        dealt: Numbers of the domains that are dealt.
    """
    tree = tree_of(state)
    found: TensorDict = {}
    for number, name in enumerate(OPERATIONS[1:], start=1):
        found |= {f"{key}/{name}": state[key][:, number] for key in ("tried", "kept", "undone")}
    under = shape.child_of(tree) & (tree.kind == shape.ROOT)[:, None]
    below = tree.alive & (tree.kind != shape.ROOT)
    return found | {
        "specialisation/routed": census.specialisation(state["routed"][..., list(dealt)], below),
        "specialisation/updates": census.specialisation(state["taught"][..., list(dealt)], below),
        "updates_on_earlier": state["fell/earlier"] / state["fell/all"],
        "domain_information": census.information(state["routed"], under.any(-1)),
    }
