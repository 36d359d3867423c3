"""A tree of agents in S slots, as tensors ``[W, S]``: what follows from its shape, and which operations it allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...learners.tree_model import Paths

FREE, ROOT, MANAGER, EXPERT = range(4)
"""Kinds of agents; a free slot holds none."""
KINDS = ("free", "root", "manager", "expert")
"""Their names."""

OPERATIONS = ("nothing", "retire", "merge", "grow", "move", "split", "dissolve", "roll_back")
NOTHING, RETIRE, MERGE, GROW, MOVE, SPLIT, DISSOLVE, ROLL_BACK = range(8)

DEEPEST = 32
"""Agents above another at most, whatever the limits."""


class Tree(NamedTuple):
    """The shapes of W trees."""

    kind: Tensor
    """One of the kinds, int8 ``[W, S]``."""
    parent: Tensor
    """Slot of the parent, int64 ``[W, S]``; of the root and of free slots their own."""
    gate: Tensor
    """How open a leaf is, float ``[W, S]``; twins share a gate, a newborn's may still be opening."""

    @property
    def alive(self) -> Tensor:
        """Who lives, bool ``[W, S]``."""
        return self.kind > FREE


@dataclass(frozen=True)
class Limits:
    """Bounds of a tree's shape.

    Args:
        depth: Of the deepest agent at most; the root's is 0.
        most: Children of an agent at most.
        fewest: Children that an agent has left at least when one is retired.
    """

    depth: int = 6
    most: int = 50
    fewest: int = 3


def plant(agents: int, form: str, worlds: int, device: torch.device) -> Tree:
    """W trees as episodes begin with.

    Args:
        agents: S.
        form: "flat": a root, all others are its experts. "balanced": two thirds of the slots are taken, rounded up;
            with A agents ⌊√A⌋ − 1 of them are managers, the experts are dealt to these in turn.
        worlds: W.
        device: Where.
    """
    taken = agents if form == "flat" else -(-2 * agents // 3)
    managers = 0 if form == "flat" else int(taken**0.5) - 1
    kind = [ROOT] + [MANAGER] * managers + [EXPERT] * (taken - managers - 1) + [FREE] * (agents - taken)
    own = range(agents)
    parent = [
        0 if k == MANAGER or (k == EXPERT and not managers) else 1 + (s % managers) if k == EXPERT else s
        for s, k in zip(own, kind, strict=True)
    ]
    kinds = torch.tensor(kind, dtype=torch.int8, device=device).repeat(worlds, 1)
    parents = torch.tensor(parent, dtype=torch.int64, device=device).repeat(worlds, 1)
    return Tree(kinds, parents, torch.ones(worlds, agents, device=device))


def child_of(tree: Tree) -> Tensor:
    """Whether the first of two agents is a child of the second, bool ``[W, S, S]``."""
    same = torch.arange(tree.kind.shape[1], device=tree.kind.device)
    below = tree.alive & (tree.kind != ROOT)
    return (tree.parent[..., None] == same) & below[..., None]


def above(tree: Tree, limits: Limits) -> Tensor:
    """1 where the second of two living agents is the first or above it, float ``[W, S, S]``."""
    step = child_of(tree).float()
    itself = torch.diag_embed(tree.alive.float())
    found = itself
    for _ in range(limits.depth):
        found = itself + torch.bmm(step, found)
    return found


def children(tree: Tree) -> Tensor:
    """How many each agent has, int64 ``[W, S]``."""
    return child_of(tree).sum(1)


def leaves(tree: Tree) -> Tensor:
    """Who lives and has no children, bool ``[W, S]``."""
    return tree.alive & (children(tree) == 0)


def depth(tree: Tree, limits: Limits) -> Tensor:
    """Agents above each, int64 ``[W, S]``; 0 of free slots."""
    return (above(tree, limits).sum(-1) - 1).clamp_min(0).long()


def height(tree: Tree, limits: Limits) -> Tensor:
    """How far down the deepest agent below each is, int64 ``[W, S]``."""
    own = depth(tree, limits)
    under = above(tree, limits).mT > 0  # [W, S, who is below]
    return (torch.where(under, own[:, None], 0).amax(-1) - own).clamp_min(0)


def paths(tree: Tree, limits: Limits) -> Paths:
    """The trees as their models read them."""
    return Paths(tree.gate * leaves(tree), above(tree, limits), tree.parent)


def walk(tree: Tree, world: int) -> Iterator[list[int]]:
    """The way from the root to each agent of a world, each before those to agents below it."""
    kind, parent = tree.kind[world].tolist(), tree.parent[world].tolist()
    left = [[kind.index(ROOT)]]
    while left:
        path = left.pop()
        yield path
        below = [s for s, k in enumerate(kind) if k > ROOT and parent[s] == path[-1]]
        left += [[*path, s] for s in reversed(below)]


def siblings(tree: Tree) -> Tensor:
    """Whether two agents have one parent and are both leaves, or both not, bool ``[W, S, S]``."""
    below, leaf = tree.alive & (tree.kind != ROOT), leaves(tree)
    alike = (tree.parent[..., None] == tree.parent[:, None]) & (leaf[..., None] == leaf[:, None])
    apart = ~torch.eye(tree.kind.shape[1], dtype=torch.bool, device=tree.kind.device)
    return alike & apart & below[..., None] & below[:, None]


def mates(tree: Tree, limits: Limits) -> Tensor:
    """Whether two siblings have no more children together than one may have, bool ``[W, S, S]``."""
    count = children(tree)
    return siblings(tree) & (count[..., None] + count[:, None] <= limits.most)


def homes(tree: Tree, limits: Limits) -> Tensor:
    """Whether the first of two agents could be moved under the second, bool ``[W, S, S]``."""
    at_work = (tree.kind == ROOT) | (tree.kind == MANAGER)
    count = children(tree)
    room = at_work & (count < limits.most) & (count > 0)
    under = above(tree, limits).mT > 0  # [W, S, who is it or below it]
    deep = depth(tree, limits)[:, None] + 1 + height(tree, limits)[..., None] <= limits.depth
    spared = count.gather(1, tree.parent) > 1
    same = torch.arange(tree.kind.shape[1], device=tree.kind.device)
    elsewhere = tree.parent[..., None] != same
    moves = tree.alive & (tree.kind != ROOT) & spared
    return moves[..., None] & room[:, None] & ~under & elsewhere & deep


def best(scores: Tensor, allowed: Tensor) -> Tensor:
    """For each agent the other with the highest score of those allowed, int64 ``[W, S]``; −1 where there is none.

    Scores ``[W, S, S]`` are compared to 1/1,000, so that rounding decides nothing; of equal ones the first is taken.
    """
    told = torch.where(allowed, (scores * 1000).round(), -torch.inf)
    first = told.argmax(-1)
    return torch.where(allowed.any(-1), first, -1)


def legal(tree: Tree, limits: Limits, *, protected: Tensor, busy: Tensor, kept: Tensor) -> Tensor:
    """Which operations each agent may propose by the structure alone, bool ``[W, S, 8]``.

    Args:
        tree: The trees.
        limits: Their bounds.
        protected: Who is protected, bool ``[W, S]``.
        busy: Where an operation is on trial, bool ``[W]``: then there is no other.
        kept: Snapshots there are, int64 ``[W]``.
    """
    count, leaf = children(tree), leaves(tree)
    root = tree.kind == ROOT
    below = tree.alive & ~root
    of_parent = count.gather(1, tree.parent)
    space = (~tree.alive).any(-1, keepdim=True)
    spared = mates(tree, limits) & ~protected[:, None]
    down = depth(tree, limits) + height(tree, limits) + 1 <= limits.depth
    found = torch.stack(
        [
            tree.alive,
            below & leaf & (of_parent > limits.fewest),
            below & spared.any(-1),
            below & leaf & space & (of_parent < limits.most),
            homes(tree, limits).any(-1),
            tree.alive & (count >= 4) & space & down,
            below & (count > 0) & (of_parent - 1 + count <= limits.most),
            root & (kept > 0)[:, None],
        ],
        dim=-1,
    )
    found &= ~busy[:, None, None]
    found[..., :ROLL_BACK] &= ~protected[..., None]
    found[..., NOTHING] = True
    return found


def broken(tree: Tree, limits: Limits) -> Tensor:
    """Where a tree is none, bool ``[W]``: not one root, a parent who is dead or an expert, too deep or too wide."""
    same = torch.arange(tree.kind.shape[1], device=tree.kind.device)
    root, alive, count = tree.kind == ROOT, tree.alive, children(tree)
    parents = tree.kind.gather(1, tree.parent)
    fault = (root.sum(-1) != 1)[:, None] | (root & (tree.parent != same))
    fault = fault | (alive & ~root & ((parents != ROOT) & (parents != MANAGER)))
    fault = fault | (~alive & (tree.parent != same)) | (count > limits.most)
    fault = fault | ((count == 0) & alive & (tree.kind != EXPERT)) | ((count > 0) & (tree.kind == EXPERT))
    reached = (above(tree, limits) * root[:, None]).sum(-1) == 1  # within so many steps
    return (fault | (alive & ~reached)).any(-1)
